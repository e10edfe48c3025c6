import Foundation
public import Messages
import NIOCore
public import RPC

/// A page of a list: how many items, and after which one. Tokens are opaque to callers.
public struct Page: Sendable, Hashable {
  public static let defaultSize = 50
  public static let largestSize = 1000
  /// What a token that this service did not make is answered with.
  public static let invalidToken = Status(
    .invalidArgument, "page.token is not valid: use next_page_token of an earlier answer, or leave it empty")

  /// 1 to 1000.
  public let size: Int
  /// The key of the last item of the page before; empty for the first page.
  public let after: String

  /// - Parameters:
  ///   - size: 0 means 50.
  ///   - token: As it came from the caller; empty for the first page.
  /// - Throws: `Status` INVALID_ARGUMENT for a size out of range or a token that is none.
  public init(size: Int32, token: String) throws {
    guard size >= 0, size <= Self.largestSize else {
      throw Status(.invalidArgument, "page.size must be 1 to \(Self.largestSize), or 0 for \(Self.defaultSize)")
    }
    self.size = size == 0 ? Self.defaultSize : Int(size)
    after = try token.isEmpty ? "" : Self.key(token)
  }

  /// The token of the page that starts after the item with this key.
  public static func token(after key: String) -> String {
    Data(("1" + key).utf8).base64EncodedString()
      .replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
  }

  /// The items from the first on that fit one answer together; at least one. A page may hold fewer than were asked for.
  ///
  /// - Parameter limit: bytes on the wire; below what a message may have.
  public static func fitting<Item: ProtobufMessage>(
    _ items: some Sequence<Item>, limit: Int = 3 << 20
  ) throws -> [Item] {
    var (shown, bytes, buffer) = ([Item](), 0, ByteBuffer())
    for item in items {
      buffer.clear()
      try item.encode(into: &buffer)
      bytes += buffer.readableBytes
      guard shown.isEmpty || bytes <= limit else { break }
      shown.append(item)
    }
    return shown
  }

  private static func key(_ token: String) throws -> String {
    let standard = token.replacing("-", with: "+").replacing("_", with: "/")
    let padding = String(repeating: "=", count: (4 - standard.count % 4) % 4)
    guard token.utf8.count <= 1024, let data = Data(base64Encoded: standard + padding),
      let text = String(validating: data, as: UTF8.self), text.first == "1", text.count > 1
    else { throw invalidToken }
    return String(text.dropFirst())
  }
}

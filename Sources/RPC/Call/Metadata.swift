import HTTP2

/// The names and values that travel beside a call's messages, in order; a name may come more than once.
///
/// Names are lower case (`a-z 0-9 _ - .`); text values are printable ASCII, without spaces at their ends. Names that
/// end in `-bin` carry bytes, kept as base64. `grpc-status`, `grpc-message`, `grpc-timeout`, `grpc-encoding`,
/// `content-type`, `te` and pseudo-headers belong to the protocol and are neither shown nor sent. Other names that
/// begin with `grpc-` are shown, and only those sent that gRPC has for all (`grpc-status-details-bin` and the like).
public struct Metadata: Sendable, Hashable, ExpressibleByDictionaryLiteral, Sequence {
  private struct Entry: Sendable, Hashable {
    let name: String
    let value: String
  }
  private var entries: [Entry] = []

  public init() {}

  public init(dictionaryLiteral elements: (String, String)...) {
    for (name, value) in elements { add(value, for: name) }
  }

  public var isEmpty: Bool { entries.isEmpty }
  public var count: Int { entries.count }

  /// Adds a value; one that is there already stays. What may not be sent fails the call that carries it. Spaces at the
  /// ends of a value are dropped: peers may do so, or drop the whole field (RFC 9113 §8.2.1).
  public mutating func add(_ value: String, for name: String) {
    entries.append(Entry(name: name.lowercased(), value: Self.trimmed(value)))
  }

  private static func trimmed(_ value: String) -> String {
    let space = UInt8(ascii: " ")
    guard value.utf8.first == space || value.utf8.last == space else { return value }
    return String(decoding: Array(value.utf8).trimmingSpaces, as: UTF8.self)
  }

  /// Adds bytes under a name that ends in `-bin` (which is appended if it does not).
  public mutating func addBinary(_ value: [UInt8], for name: String) {
    add(Base64.encode(value), for: name.hasSuffix("-bin") ? name : name + "-bin")
  }

  public mutating func add(contentsOf other: Metadata) { entries += other.entries }

  public mutating func removeAll(_ name: String) {
    let name = name.lowercased()
    entries.removeAll { $0.name == name }
  }

  /// The first value of a name.
  public subscript(_ name: String) -> String? {
    let name = name.lowercased()
    return entries.first { $0.name == name }?.value
  }

  /// Every value of a name, in order.
  public func all(_ name: String) -> [String] {
    let name = name.lowercased()
    return entries.filter { $0.name == name }.map(\.value)
  }

  /// The first value of a `-bin` name as bytes; nil if there is none or it is not base64.
  public func binary(_ name: String) -> [UInt8]? { allBinary(name).first }

  /// Every value of a `-bin` name as bytes. A peer may have joined several with commas.
  public func allBinary(_ name: String) -> [[UInt8]] {
    let parts = all(name).flatMap { $0.split(separator: ",", omittingEmptySubsequences: false) }
    return parts.compactMap { Base64.decode($0.utf8.trimmingSpaces) }
  }

  /// Names with their values as they go over the wire.
  public func makeIterator() -> AnyIterator<(name: String, value: String)> {
    var iterator = entries.makeIterator()
    return AnyIterator { iterator.next().map { ($0.name, $0.value) } }
  }
}

// MARK: - The wire

extension Metadata {
  private static let reserved: Set<String> = [
    "grpc-status", "grpc-message", "grpc-timeout", "grpc-encoding", "grpc-accept-encoding", "content-type", "te",
    "connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade", "host", "content-length",
  ]

  /// Names of gRPC's own that a caller or handler may say.
  private static let permitted: Set<String> = [
    "grpc-status-details-bin", "grpc-trace-bin", "grpc-tags-bin", "grpc-retry-pushback-ms",
    "grpc-previous-rpc-attempts", "grpc-server-stats-bin",
  ]

  /// What came in: all but what belongs to the protocol.
  init(_ block: HeaderBlock) {
    for field in block where !block.starts(field.name, with: ":") {
      let name = block.string(field.name)
      guard !Self.reserved.contains(name) else { continue }
      entries.append(Entry(name: name, value: block.string(field.value)))
    }
  }

  /// Why this may not be sent; nil if it may.
  var problem: String? {
    for entry in entries {
      // A block keeps a name's length in 16 bits.
      guard entry.name.utf8.count <= UInt16.max else { return "a name of \(entry.name.utf8.count) bytes is too long" }
      guard !entry.name.isEmpty, entry.name.utf8.allSatisfy(Self.isName) else {
        return "'\(entry.name)' is not a valid name"
      }
      let isOfGRPC = entry.name.hasPrefix("grpc-") && !Self.permitted.contains(entry.name)
      if isOfGRPC || Self.reserved.contains(entry.name) { return "'\(entry.name)' belongs to the protocol" }
      guard entry.value.utf8.allSatisfy({ $0 >= 0x20 && $0 <= 0x7E }) else {
        return "the value of '\(entry.name)' is not printable ASCII"
      }
      if entry.name.hasSuffix("-bin"), !Self.isBinary(entry.value.utf8) {
        return "the value of '\(entry.name)' is not base64"
      }
    }
    return nil
  }

  /// Base64, or several joined with commas.
  static func isBinary(_ value: some Collection<UInt8>) -> Bool {
    value.withContiguousStorageIfAvailable { Base64.isList($0) } ?? Array(value).withUnsafeBufferPointer(Base64.isList)
  }

  private static func isName(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"),
      UInt8(ascii: "_"), UInt8(ascii: "."):
      true
    default: false
    }
  }
}

extension HeaderBlock {
  mutating func append(_ metadata: Metadata) {
    for (name, value) in metadata { append(name, value) }
  }
}

extension Collection where Element == UInt8 {
  /// Without the spaces in front and behind.
  fileprivate var trimmingSpaces: ArraySlice<UInt8> {
    let rest = Array(drop { $0 == UInt8(ascii: " ") })
    return rest.prefix((rest.lastIndex { $0 != UInt8(ascii: " ") } ?? -1) + 1)
  }
}

import HTTP2
import NIOConcurrencyHelpers
import NIOCore

/// How messages are made smaller on their way (gRPC `doc/compression.md`). Each message is compressed for itself, and
/// says so in its prefix: one that does not gain by it, or is not to be, goes out as it is.
public enum Compression: Sendable, Hashable {
  case none
  /// RFC 1952.
  case gzip

  /// What `grpc-accept-encoding` says where compressed messages are taken.
  static let accepted = "identity,gzip"
  /// What it says where they are not.
  static let acceptedUncompressed = "identity"

  /// The encoding that `grpc-encoding` names.
  /// - Returns: Nil if it is not known here.
  init?(name: Range<Int>, of block: HeaderBlock) {
    if block.equals(name, "identity") {
      self = .none
    } else if block.equals(name, "gzip") {
      self = .gzip
    } else {
      return nil
    }
  }
}

/// Whether and which outgoing messages are compressed.
struct CompressionPolicy: Sendable {
  let algorithm: Compression
  /// Messages shorter than this are left alone, unless their writer asks, in bytes.
  let threshold: Int

  /// - Parameters:
  ///   - frame: A message with its prefix, not compressed.
  ///   - choice: What the writer asked for; nil: compressed if it is long enough and gains by it.
  /// - Returns: What goes out: compressed and flagged so, or as it is.
  func apply(to frame: ByteBuffer, _ choice: Bool?) -> ByteBuffer {
    guard algorithm == .gzip, choice ?? (frame.readableBytes - Framing.prefixBytes >= threshold) else { return frame }
    return Gzip.compress(frame: frame, isForced: choice == true) ?? frame
  }
}

/// The compressed form of a frame that goes out many times: made when it is first needed.
final class CompressedFrame: Sendable {
  private let frame = NIOLockedValueBox<ByteBuffer?>(nil)

  /// The first policy's choice holds for all. Compressed without the lock: loops that need it at the same moment each
  /// make it, which is better than that all wait for one.
  func frame(of plain: ByteBuffer, _ policy: CompressionPolicy) -> ByteBuffer {
    if let made = frame.withLockedValue({ $0 }) { return made }
    let made = policy.apply(to: plain, nil)
    return frame.withLockedValue { frame in
      if let frame { return frame }
      frame = made
      return made
    }
  }
}

// MARK: - In a call

extension Call {
  /// From now on messages may come compressed. They wait as they came, and are unpacked when they are read: what waits
  /// is bounded by the window, what it would be unpacked is not.
  final func expectEncoded(_ encoding: Compression) {
    guard encoding != .none else { return }
    self.encoding = encoding
    deframer.keepsPrefix = true
  }

  /// The message in what was taken from the stream.
  /// - Parameter isCompressed: Set to whether it came compressed.
  /// - Throws: `Status`: RESOURCE_EXHAUSTED over the limit, INTERNAL for what is not gzip.
  final func unpack(_ frame: ByteBuffer, _ isCompressed: inout Bool) throws -> ByteBuffer {
    guard encoding != .none else { return frame }
    var message = frame
    isCompressed = message.readInteger(as: UInt8.self) == 1
    message.moveReaderIndex(forwardBy: Framing.prefixBytes - 1)
    guard isCompressed else { return message }
    do {
      let plain = try Gzip.decompress(message, limit: limit)
      unpacked(plain.readableBytes)
      return plain
    } catch {
      unpacked(limit)  // at most: what is too long costs no less
      throw error
    }
  }

  /// As `unpack`, for a reader on any thread: what is wrong with a message ends the call.
  final func unpackOrFail(_ frame: ByteBuffer, _ isCompressed: inout Bool) throws -> ByteBuffer {
    do {
      return try unpack(frame, &isCompressed)
    } catch {
      let status = Status(reporting: error)
      loop.perform { self.inboundFailed(status) }
      throw status
    }
  }
}

extension HeaderBlock {
  /// Whether `grpc-accept-encoding` names gzip.
  var acceptsGzip: Bool {
    for field in self where equals(field.name, "grpc-accept-encoding") {
      if self[field.value].withContiguousStorageIfAvailable({ Self.hasGzip($0) }) == true { return true }
    }
    return false
  }

  /// Whether one of the names, between commas, is gzip. In one pass and without memory: it may be long, of any bytes.
  private static func hasGzip(_ names: UnsafeBufferPointer<UInt8>) -> Bool {
    let gzip: StaticString = "gzip"
    var matched = 0  // bytes of the name so far; -1: it is another
    for byte in names {
      if byte == UInt8(ascii: ",") {
        if matched == gzip.utf8CodeUnitCount { return true }
        matched = 0
      } else if byte != UInt8(ascii: " "), matched >= 0 {
        let isNext = matched < gzip.utf8CodeUnitCount && byte == gzip.utf8Start[matched]
        matched = isNext ? matched + 1 : -1
      }
    }
    return matched == gzip.utf8CodeUnitCount
  }
}

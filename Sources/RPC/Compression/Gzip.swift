import NIOConcurrencyHelpers
import NIOCore

/// Whole messages to and from gzip (RFC 1952). From any thread.
///
/// A message is compressed and unpacked in one go, so zlib's memory (about 270 KiB and 45 KiB) belongs to no call: it
/// is borrowed from a pool, and idle streams hold none.
enum Gzip {
  private static let deflaters = Pool<Deflater>()
  private static let inflaters = Pool<Inflater>()

  /// - Parameters:
  ///   - frame: A message with its prefix.
  ///   - isForced: Compress even if it does not get shorter.
  /// - Returns: The compressed message with its prefix; nil if it does not get shorter, or memory has run out.
  static func compress(frame: ByteBuffer, isForced: Bool) -> ByteBuffer? {
    var message = frame
    message.moveReaderIndex(forwardBy: Framing.prefixBytes)
    guard isForced || message.readableBytes > 1 else { return nil }
    return deflaters.borrow(Deflater.init) { deflater in
      let room = isForced ? nil : message.readableBytes - 1
      var result = ByteBufferAllocator().buffer(capacity: Framing.prefixBytes + message.readableBytes)
      result.writeInteger(UInt8(1))
      result.writeInteger(UInt32(0))
      guard deflater.compress(message, into: &result, room: room) else { return nil }
      result.setInteger(UInt32(result.readableBytes - Framing.prefixBytes), at: result.readerIndex + 1)
      // It may wait to be sent, in a buffer as large as the message was.
      if result.capacity > 4 * (result.readableBytes + 128) { return ByteBuffer(bytes: result.readableBytesView) }
      return result
    } ?? nil
  }

  /// - Parameter limit: In bytes; no more than about this is ever taken.
  /// - Throws: `Status`: RESOURCE_EXHAUSTED over the limit or without memory, INTERNAL for what is not one gzip member.
  static func decompress(_ message: ByteBuffer, limit: Int) throws -> ByteBuffer {
    let result = try inflaters.borrow(Inflater.init) { inflater in
      let result: Result<ByteBuffer, Inflater.Failure> = inflater.decompress(message, limit: limit)
      return try result.mapError { $0.status(limit: limit) }.get()
    }
    guard let result else { throw Status(.resourceExhausted, "there is no memory to decompress a message") }
    return result
  }

  /// zlib's contexts, used again. Each is held by one thread at a time: in the pool, or by its borrower.
  private final class Pool<Context: AnyObject & Sendable>: Sendable {
    /// Kept for the next borrower; what is given back beyond that is freed.
    private static var maximumIdle: Int { 8 }
    private let idle = NIOLockedValueBox<[Context]>([])

    /// Nil if there is no context and none can be made.
    func borrow<Result>(_ make: () -> Context?, _ body: (Context) throws -> Result) rethrows -> Result? {
      guard let context = idle.withLockedValue({ $0.popLast() }) ?? make() else { return nil }
      defer { idle.withLockedValue { if $0.count < Self.maximumIdle { $0.append(context) } } }
      return try body(context)
    }
  }
}

extension Inflater.Failure {
  fileprivate func status(limit: Int) -> Status {
    switch self {
    case .tooLong:
      Status(.resourceExhausted, "a compressed message is over the limit of \(limit) bytes when decompressed")
    case .noMemory: Status(.resourceExhausted, "there is no memory to decompress a message")
    case .corrupt: Status(.internalError, "a compressed message is not valid gzip")
    case .truncated: Status(.internalError, "a compressed message ends before its gzip data do")
    case .trailing: Status(.internalError, "a compressed message goes on behind its gzip data")
    }
  }
}

import NIOCore

/// gRPC's message framing: a flag byte (1 = compressed), the length in four bytes, the message.
enum Framing {
  static let prefixBytes = 5

  /// A message with its prefix.
  /// - Throws: `Status`: INTERNAL when it cannot be encoded, RESOURCE_EXHAUSTED when it is longer than `limit`.
  static func encode<Message>(_ message: Message, _ codec: Codec<Message>, limit: Int) throws -> ByteBuffer {
    var buffer = ByteBufferAllocator().buffer(capacity: 64)
    buffer.writeRepeatingByte(0, count: prefixBytes)
    do {
      try codec.encode(message, &buffer)
    } catch {
      throw Status(.internalError, "a message cannot be encoded: \(error)")
    }
    let length = buffer.readableBytes - prefixBytes
    guard length <= limit, length <= UInt32.max else {
      throw Status(.resourceExhausted, "a message of \(length) bytes is over the limit of \(limit)")
    }
    buffer.setInteger(UInt32(length), at: buffer.readerIndex + 1)
    return buffer
  }
}

/// Cuts a stream of bytes into messages. Pure. A prefix is judged before anything behind it is kept.
struct Deframer {
  private var buffer = ByteBuffer()
  private let limit: Int
  /// Slices much smaller than the memory they keep alive are copied when true: messages may wait a while.
  private let copiesSmall: Bool
  /// Messages may be compressed: they are handed out with their prefix, which says whether one is.
  var keepsPrefix = false

  init(limit: Int, copiesSmall: Bool) {
    self.limit = limit
    self.copiesSmall = copiesSmall
  }

  /// Part of a message is there and the rest is not.
  var isInsideMessage: Bool { buffer.readableBytes > 0 }

  /// Bytes of the message that is not complete yet, as they came.
  var bufferedBytes: Int { buffer.readableBytes }

  mutating func append(_ chunk: ByteBuffer) {
    if buffer.readableBytes == 0 { buffer = chunk } else { buffer.writeImmutableBuffer(chunk) }
  }

  /// - Throws: `Status`: RESOURCE_EXHAUSTED over the limit, INTERNAL for a flag that does not fit.
  mutating func next() throws -> ByteBuffer? {
    guard let flag: UInt8 = buffer.getInteger(at: buffer.readerIndex) else { return nil }
    // Without an encoding nothing may be compressed.
    guard flag == 0 || (flag == 1 && keepsPrefix) else {
      throw Status(
        .internalError, flag == 1 ? "a message is compressed without an encoding" : "a message has an invalid flag")
    }
    guard let length: UInt32 = buffer.getInteger(at: buffer.readerIndex + 1) else { return compacting() }
    guard length <= limit else {
      throw Status(.resourceExhausted, "a message of \(length) bytes is over the limit of \(limit)")
    }
    guard buffer.readableBytes >= Framing.prefixBytes + Int(length) else { return compacting(length: Int(length)) }
    if !keepsPrefix { buffer.moveReaderIndex(forwardBy: Framing.prefixBytes) }
    let bytes = Int(length) + (keepsPrefix ? Framing.prefixBytes : 0)
    guard var message = buffer.readSlice(length: bytes) else { return nil }
    if copiesSmall, message.storageCapacity > 4 * (message.readableBytes + 128) {
      message = ByteBuffer(bytes: message.readableBytesView)
    }
    if buffer.readableBytes == 0 { buffer = ByteBuffer() }
    return message
  }

  /// Moves an incomplete message out of the buffer it was received in, which may be much larger.
  private mutating func compacting(length: Int = 0) -> ByteBuffer? {
    // A claimed length alone reserves no more than this, which holds a message of 64 KiB with its prefix; beyond it, the
    // buffer grows with what really arrives.
    let wanted = max(min(Framing.prefixBytes + length, 128 * 1024), buffer.readableBytes)
    if buffer.storageCapacity < wanted || buffer.storageCapacity > 4 * (wanted + 128) {
      var own = ByteBufferAllocator().buffer(capacity: wanted)
      own.writeImmutableBuffer(buffer)
      buffer = own
    }
    return nil
  }
}

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

/// Cuts a stream of bytes into messages. Pure.
///
/// Every prefix is judged as it comes, before anything behind it is kept; messages are cut off when they are taken.
/// Those that wait are bytes as they came, in one buffer: a small one costs no more than its bytes.
struct Deframer {
  private var buffer = ByteBuffer()
  /// How much of `buffer` is whole messages, in bytes from its beginning.
  private var whole = 0
  /// Messages that were complete so far.
  private(set) var completed: UInt32 = 0
  private let limit: Int
  /// Messages may wait a while: what is kept, and what is handed out, is copied if it is much smaller than the memory
  /// that it keeps alive.
  private let copiesSmall: Bool
  /// Messages may be compressed: they are handed out with their prefix, which says whether one is.
  var keepsPrefix = false

  init(limit: Int, copiesSmall: Bool) {
    self.limit = limit
    self.copiesSmall = copiesSmall
  }

  /// A whole message waits.
  var hasMessage: Bool { whole > 0 }

  /// Bytes lie behind the first whole message.
  var hasMoreThanOneMessage: Bool {
    guard whole > 0, let length: UInt32 = buffer.getInteger(at: buffer.readerIndex + 1) else { return false }
    return buffer.readableBytes > Framing.prefixBytes + Int(length)
  }

  /// Part of a message is there and the rest is not.
  var isInsideMessage: Bool { buffer.readableBytes > whole }

  /// Bytes of the message that is not complete yet, as they came.
  var partialBytes: Int { buffer.readableBytes - whole }

  /// Bytes of all that waits, as they came.
  var bufferedBytes: Int { buffer.readableBytes }

  /// The memory that they take, in bytes.
  var capacityUsed: Int { buffer.storageCapacity }

  /// - Throws: `Status`: RESOURCE_EXHAUSTED over the limit, INTERNAL for a flag that does not fit. The messages in
  ///   front of it can still be taken; nothing more must be appended.
  mutating func append(_ chunk: ByteBuffer) throws {
    if buffer.readableBytes == 0 {
      buffer = chunk
    } else {
      // Once most of the buffer was taken, what is left moves to its beginning: so it costs constant time a byte.
      if buffer.writableBytes < chunk.readableBytes, buffer.readerIndex > buffer.readableBytes {
        buffer.discardReadBytes()
      }
      buffer.writeImmutableBuffer(chunk)
    }
    // Over plain memory: a peer may send nothing but prefixes.
    var whole = whole
    var completed = completed
    defer { (self.whole, self.completed) = (whole, completed) }
    try buffer.withUnsafeReadableBytes { bytes in
      while let length = try lengthOfNext(bytes, at: whole) {
        let end = whole + Framing.prefixBytes + length
        guard end <= bytes.count else { break }
        whole = end
        completed &+= 1
      }
    }
  }

  /// What the prefix that begins there says; nil if it is not there yet.
  private func lengthOfNext(_ bytes: UnsafeRawBufferPointer, at start: Int) throws -> Int? {
    guard start < bytes.count else { return nil }
    let flag = bytes[start]
    // Without an encoding nothing may be compressed.
    guard flag == 0 || (flag == 1 && keepsPrefix) else {
      throw Status(
        .internalError, flag == 1 ? "a message is compressed without an encoding" : "a message has an invalid flag")
    }
    guard start + Framing.prefixBytes <= bytes.count else { return nil }
    let length = UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: start + 1, as: UInt32.self))
    guard length <= limit else {
      throw Status(.resourceExhausted, "a message of \(length) bytes is over the limit of \(limit)")
    }
    return Int(length)
  }

  /// The first message that waits.
  mutating func next() -> ByteBuffer? {
    guard whole > 0, let length: UInt32 = buffer.getInteger(at: buffer.readerIndex + 1) else { return nil }
    whole -= Framing.prefixBytes + Int(length)
    if !keepsPrefix { buffer.moveReaderIndex(forwardBy: Framing.prefixBytes) }
    guard var message = buffer.readSlice(length: Int(length) + (keepsPrefix ? Framing.prefixBytes : 0)) else {
      return nil
    }
    if copiesSmall, message.storageCapacity > 4 * (message.readableBytes + 128) {
      message = ByteBuffer(bytes: message.readableBytesView)
    }
    if buffer.readableBytes == 0 { buffer = ByteBuffer() }
    return message
  }

  /// Drops all that waits.
  mutating func removeAll() {
    buffer = ByteBuffer()
    whole = 0
  }

  /// To be called when nothing more is taken for now: what is left moves out of the buffer it was received in, which
  /// may be much larger.
  mutating func settle() {
    guard buffer.readableBytes > 0, copiesSmall || isInsideMessage else { return }
    var wanted = buffer.readableBytes
    if whole == 0, let length: UInt32 = buffer.getInteger(at: buffer.readerIndex + 1) {
      // A claimed length alone reserves no more than this, which holds a message of 64 KiB with its prefix; beyond it,
      // the buffer grows with what really arrives.
      wanted = max(min(Framing.prefixBytes + Int(length), 128 * 1024), wanted)
    }
    guard buffer.storageCapacity < wanted || buffer.storageCapacity > 4 * (wanted + 128) else { return }
    var own = ByteBufferAllocator().buffer(capacity: wanted)
    own.writeImmutableBuffer(buffer)
    buffer = own
  }
}

import NIOCore

/// A message that is encoded once, however many calls it is written to; compressed once too, where calls ask for that.
public struct EncodedMessage<Message: Sendable>: Sendable {
  let frame: ByteBuffer
  let compressed = CompressedFrame()

  /// - Throws: `Status` INTERNAL when it cannot be encoded.
  public init(_ message: Message, _ codec: Codec<Message>) throws {
    frame = try Framing.encode(message, codec, limit: Int(UInt32.max))
  }

  /// - Parameter wire: The message as its codec encodes it; at most 4 GiB.
  public init(wire: [UInt8]) {
    var frame = ByteBufferAllocator().buffer(capacity: Framing.prefixBytes + wire.count)
    frame.writeInteger(UInt8(0))
    frame.writeInteger(UInt32(wire.count))
    frame.writeBytes(wire)
    self.frame = frame
  }
}

extension ResponseWriter {
  /// Sends a message that was encoded before. Suspends and throws as `write` of the message itself does.
  public func write(_ message: EncodedMessage<Message>) async throws {
    let length = message.frame.readableBytes - Framing.prefixBytes
    guard length <= call.responseLimit else {
      throw Status(.resourceExhausted, "a message of \(length) bytes is over the limit of \(call.responseLimit)")
    }
    try await call.send(message.frame, shared: message.compressed)
  }
}

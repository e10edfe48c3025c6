import NIOCore

/// The wire form as plain bytes, as it is stored and hashed.
extension ProtobufMessage {
  /// The wire form. Throws WireError as `encode(into:)` does.
  public func bytes() throws -> [UInt8] {
    var buffer = ByteBuffer()
    try encode(into: &buffer)
    return Array(buffer.readableBytesView)
  }

  /// Decodes the wire form within the default limits. Throws WireError.
  public init(wire: [UInt8]) throws { try self.init(wire: ByteBuffer(bytes: wire), limits: .default) }
}

import CProtobufC
import NIOCore

/// What generated structs offer to this module beside their public face: the way to and from protobuf-c's struct.
protocol NativeMessage: ProtobufMessage {
  /// The struct that protoc-c made of the message.
  associatedtype C

  static var descriptor: UnsafePointer<ProtobufCMessageDescriptor> { get }

  /// Sets a struct to the message's defaults.
  static func prepare(_ c: UnsafeMutablePointer<C>)

  /// Copies out of a struct; keeps no pointer.
  init(c: UnsafePointer<C>)

  /// Sets a prepared struct's members; what they point to lives in the arena. Throws WireError.
  func fill(_ c: UnsafeMutablePointer<C>, _ arena: inout Arena) throws
}

/// Binary form ↔ Swift value, by way of protobuf-c.
enum Wire {
  @inline(__always)
  static func decode<M: NativeMessage>(_ wire: ByteBuffer, _ limits: WireLimits) throws -> M {
    try wire.withUnsafeReadableBytes { bytes in
      try WireScan.check(bytes, as: M.descriptor, limits)
      let budget = bytes.count * limits.memoryFactor + limits.memoryBase
      return try Arena.with(budget: budget) { arena in
        let c = try arena.unpack(bytes, as: M.descriptor)
        return M(c: UnsafeRawPointer(c).assumingMemoryBound(to: M.C.self))
      }
    }
  }

  @inline(__always)
  static func encode<M: NativeMessage>(_ message: M, into buffer: inout ByteBuffer) throws {
    try Arena.with(budget: .max) { arena in
      let c = UnsafeRawPointer(try arena.message(message)).assumingMemoryBound(to: ProtobufCMessage.self)
      let size = protobuf_c_message_get_packed_size(c)
      guard size <= WireLimits.maximumEncodedBytes else {
        throw WireError(
          .tooLarge, "\(M.messageName) takes \(size) bytes, over the limit of \(WireLimits.maximumEncodedBytes)")
      }
      buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: size) { target in
        guard let start = target.baseAddress else { return 0 }
        return protobuf_c_message_pack(c, start.assumingMemoryBound(to: UInt8.self))
      }
    }
  }
}

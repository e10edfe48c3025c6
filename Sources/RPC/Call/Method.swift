public import NIOCore

/// How messages of one type become bytes and back. `RPC` does not know protobuf: `Stubs` supplies that codec.
public struct Codec<Message: Sendable>: Sendable {
  public let decode: @Sendable (ByteBuffer) throws -> Message
  public let encode: @Sendable (Message, inout ByteBuffer) throws -> Void

  /// - Parameters:
  ///   - decode: Takes a whole message. What it throws ends a call with INVALID_ARGUMENT (INTERNAL at a client).
  ///   - encode: Appends the message. What it throws ends a call with INTERNAL.
  public init(
    decode: @escaping @Sendable (ByteBuffer) throws -> Message,
    encode: @escaping @Sendable (Message, inout ByteBuffer) throws -> Void
  ) {
    self.decode = decode
    self.encode = encode
  }
}

extension Codec where Message == ByteBuffer {
  /// Messages as they are.
  public static var bytes: Codec { Codec(decode: { $0 }, encode: { $1.writeImmutableBuffer($0) }) }
}

/// One method of a service: its path and how its messages are coded.
public struct Method<Request: Sendable, Response: Sendable>: Sendable {
  /// `/package.Service/Name`.
  public let path: String
  public let request: Codec<Request>
  public let response: Codec<Response>

  public init(_ path: String, request: Codec<Request>, response: Codec<Response>) {
    self.path = path
    self.request = request
    self.response = response
  }
}

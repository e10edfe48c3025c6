public import Messages
public import RPC

extension Method where Request: ProtobufMessage, Response: ProtobufMessage {
  /// A method whose messages are protobuf's.
  /// - Parameter path: `/package.Service/Name`.
  public init(_ path: String) { self.init(path, request: .protobuf, response: .protobuf) }

  /// What a call ends with where nobody serves this method.
  public var unimplemented: Status { Status(.unimplemented, "\(path) is not implemented") }
}

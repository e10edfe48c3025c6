import Messages
import NIOCore

/// Messages with every field kind, nesting, maps, oneofs and the well-known types between them.
private let types: [any ProtobufMessage.Type] = [
  EveryField.self, Mission.self, ProgressEvent.self, GoogleRpcStatus.self, OpentelemetryProtoTraceV1Span.self,
  GrpcReflectionV1ServerReflectionResponse.self, RecordEventsRequest.self, GoogleRpcErrorInfo.self,
]

func fuzzWire(_ input: Bytes) throws {
  var input = input
  let type = types[Int(input.byte()) % types.count]
  try roundTripWire(type, ByteBuffer(bytes: input.takeRest()))
}

/// What can be decoded can be encoded, and means the same then.
private func roundTripWire<M: ProtobufMessage>(_ type: M.Type, _ wire: ByteBuffer) throws {
  guard let message = try? M(wire: wire) else { return }
  var encoded = ByteBuffer()
  try message.encode(into: &encoded)
  let again = try M(wire: encoded)
  var twice = ByteBuffer()
  try again.encode(into: &twice)
  // Compared as bytes: NaN is not equal to itself.
  try require(encoded == twice, "\(M.messageName) changes when it is decoded and encoded again")
}

func fuzzJSON(_ input: Bytes) throws {
  var input = input
  let type = types[Int(input.byte()) % types.count]
  let options = ProtoJSON.Options(ignoreUnknownFields: input.byte() & 1 == 1)
  try roundTripJSON(type, input.takeRest(), options)
}

private func roundTripJSON<M: ProtobufMessage>(_ type: M.Type, _ text: [UInt8], _ options: ProtoJSON.Options) throws {
  guard let message = try? ProtoJSON.decode(type, from: text, options: options) else { return }
  // An Any may hold what JSON could say and this text could not: that is an error, not a crash.
  guard let encoded = try? ProtoJSON.encodeBytes(message) else { return }
  let again = try ProtoJSON.decode(type, from: encoded)
  let twice = try ProtoJSON.encodeBytes(again)
  try require(encoded == twice, "\(M.messageName) changes when its JSON is read and written again")
}

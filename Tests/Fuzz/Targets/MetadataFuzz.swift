import NIOCore

@testable import HTTP2
@testable import RPC

/// Judges headers as a server and as a client, and takes the codings inside them apart and together again.
func fuzzMetadata(_ input: Bytes) throws {
  var input = input
  let kind = input.byte()
  let isTrailers = kind & 1 == 1
  var block = HeaderBlock()
  var metadata = Metadata()
  while !input.isEmpty {
    let name = fieldName(&input)
    let value = input.text(atMost: 120)
    block.append(name, value)
    metadata.add(value, for: name)
  }
  let headers = Event.Headers(
    stream: 1, block: block, endStream: isTrailers, isFirst: !isTrailers, isOversized: kind & 2 == 2)
  _ = RequestHead.judge(headers, router: router)
  _ = ResponseHead(headers, acceptsCompressed: kind & 4 == 4)
  try check(Metadata(block), metadata)
  for (_, value) in metadata { try check(value) }
}

/// The names that mean something, or any other.
private func fieldName(_ input: inout Bytes) -> String {
  let known = [
    ":path", ":method", ":status", "content-type", "grpc-timeout", "grpc-encoding", "grpc-accept-encoding",
    "grpc-status", "grpc-message", "grpc-status-details-bin", "x-bin", "user-agent", "te",
  ]
  let choice = Int(input.byte())
  return choice < known.count ? known[choice] : input.text(atMost: 40)
}

private let router: Router = {
  var router = Router()
  let bytes = Method("/a/b", request: Codec.bytes, response: Codec.bytes)
  router.unary(bytes) { request, _ in request }
  return router
}()

private func check(_ received: Metadata, _ sent: Metadata) throws {
  for (name, _) in received { _ = received.allBinary(name) }
  guard sent.problem == nil else { return }
  var block = HeaderBlock()
  block.append(sent)
  try require(Metadata(block) == sent, "metadata changes on its way")
}

private func check(_ value: String) throws {
  try require(StatusMessage.decode(StatusMessage.encode(value, limit: .max)) == value, "a message changes on its way")
  _ = StatusMessage.decode(value)
  let bytes = Array(value.utf8)
  let decoded = Base64.decode(Base64.encode(bytes).utf8)
  try require(decoded == bytes, "bytes change on their way through base64")
  if let bytes = Base64.decode(value.utf8) {
    try require(Base64.decode(Base64.encode(bytes).utf8) == bytes, "base64 changes when it is read and written again")
  }
  guard let nanoseconds = Timeout.parse(bytes) else { return }
  let again = Timeout.parse(Array(Timeout.format(nanoseconds: nanoseconds).utf8))
  try require(again.map { $0 >= nanoseconds } ?? false, "a timeout shrinks")
  _ = Timeout.deadline(nanoseconds: nanoseconds)
}

import Messages
import RPC
import Stubs

/// The Echo service, with wishes in a call's metadata: `x-compress` for compressed responses, `x-fail` for an error
/// with details (`long`: and with a long message). What begins with `x-echo-` comes back before and behind the messages, with what the server saw.
struct AskedEcho: EchoHandler {
  private func begin(_ context: ServerContext) throws -> Metadata {
    let asked = context.metadata
    if asked["x-compress"] != nil { context.compressResponses(true) }
    var seen = Metadata()
    for (name, value) in asked where name.hasPrefix("x-echo-") { seen.add(value, for: name) }
    if !seen.isEmpty { context.sendInitialMetadata(seen) }
    for bytes in asked.allBinary("x-echo-bytes-bin") {
      seen.add(bytes.map { String($0) }.joined(separator: " "), for: "x-seen-bytes")
    }
    seen.add(context.userAgent ?? "", for: "x-seen-agent")
    seen.add("\(context.service) \(context.method)", for: "x-seen-method")
    context.setTrailingMetadata(seen)
    if let size = asked["x-trailer-bytes"].flatMap({ Int($0) }) {
      context.setTrailingMetadata(["x-long": String(repeating: "v", count: size)])
    }
    if let wish = asked["x-fail"] {
      throw Status(
        .failedPrecondition, wish == "long" ? String(repeating: "no äpfel left ", count: 500) : "no äpfel left",
        details: [
          Status.ErrorInfo(reason: "OUT_OF_STOCK", domain: "shop.example", metadata: ["item": "äpfel"]),
          Status.RetryInfo(retryDelay: GoogleProtobufDuration(.milliseconds(1_500))),
        ])
    }
    return asked
  }

  func say(_ request: EchoMessage, _ context: ServerContext) async throws -> EchoMessage {
    let asked = try begin(context)
    return asked["x-tell"] == nil ? request : EchoMessage(text: "\(context.requestWasCompressed)")
  }

  func expand(
    _ request: ExpandRequest, _ responses: ResponseWriter<EchoMessage>, _ context: ServerContext
  ) async throws {
    _ = try begin(context)
    guard request.count >= 0 else { throw Status.badRequest([("count", "must not be negative")]) }
    for number in 0..<request.count {
      try await responses.write(EchoMessage(text: request.text), isCompressed: number % 2 == 0)
    }
  }

  func collect(_ requests: RequestStream<EchoMessage>, _ context: ServerContext) async throws -> EchoMessage {
    _ = try begin(context)
    var seen: [String] = []
    var iterator = requests.makeAsyncIterator()
    while let request = try await iterator.next() { seen.append("\(request.text.count) \(iterator.isCompressed)") }
    return EchoMessage(text: seen.joined(separator: ", "))
  }

  func chat(
    _ requests: RequestStream<EchoMessage>, _ responses: ResponseWriter<EchoMessage>, _ context: ServerContext
  ) async throws {
    _ = try begin(context)
    for try await request in requests { try await responses.write(request) }
  }
}

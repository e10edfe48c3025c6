import Messages
import RPC
import Stubs
import Testing

/// Details of errors, over a real connection.
@Suite(.timeLimit(.minutes(1))) struct RichErrorTests {
  /// Fails each call with what it was made with.
  private struct Failing: EchoHandler {
    let status: Status

    func say(_ request: EchoMessage, _ context: ServerContext) async throws -> EchoMessage { throw status }
    func expand(
      _ request: ExpandRequest, _ responses: ResponseWriter<EchoMessage>, _ context: ServerContext
    ) async throws {
      try await responses.write(EchoMessage(text: "first"))
      throw status
    }
    func collect(_ requests: RequestStream<EchoMessage>, _ context: ServerContext) async throws -> EchoMessage {
      throw status
    }
    func chat(
      _ requests: RequestStream<EchoMessage>, _ responses: ResponseWriter<EchoMessage>, _ context: ServerContext
    ) async throws { throw status }
  }

  /// What a caller gets of a status: of a unary call, and behind a stream's first message.
  private func travelled(_ status: Status) async throws -> [Status] {
    var router = Router()
    router.register(Failing(status: status))
    let server = Server(router: router)
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let client = Client(host: address.host, port: address.port)
    let echo = EchoClient(client)
    let early = await #expect(throws: Status.self) { try await echo.say(EchoMessage(text: "a")) }
    let late = await #expect(throws: Status.self) {
      for try await _ in try await echo.expand(ExpandRequest(text: "a", count: 1)) {}
    }
    await client.close()
    await server.shutdown(grace: .zero)
    return [early, late].compactMap { $0 }
  }

  private let info = Status.ErrorInfo(reason: "OUT_OF_STOCK", domain: "shop.example", metadata: ["item": "äpfel"])

  @Test func detailsTravel() async throws {
    let violation = Status.BadRequest.FieldViolation(field: "count", description: "must not be negative")
    let bad = Status.BadRequest(fieldViolations: [violation])
    let sent = Status(.failedPrecondition, "no äpfel left", details: [info, bad, info], metadata: ["x-more": "1"])
    for status in try await travelled(sent) {
      #expect(status.code == .failedPrecondition)
      #expect(status.message == "no äpfel left")
      #expect(status.metadata["x-more"] == "1")
      #expect(status.details.count == 3)
      #expect(status.detail(Status.ErrorInfo.self) == info)
      #expect(status.details(of: Status.ErrorInfo.self) == [info, info])
      #expect(status.details(of: Status.BadRequest.self) == [bad])
      #expect(status.detail(Status.Help.self) == nil)
    }
  }

  @Test func theUsualOnes() async throws {
    let bad = Status.badRequest([("name", "is empty"), ("count", "is negative")])
    for status in try await travelled(bad) {
      #expect(status.code == .invalidArgument)
      #expect(status.message == "name: is empty")
      #expect(status.fieldViolations.map(\.field) == ["name", "count"])
      #expect(status.fieldViolations.map(\.description) == ["is empty", "is negative"])
      #expect(status.retryDelay == nil)
    }
    for status in try await travelled(.retry(after: .milliseconds(1_500), .resourceExhausted, "later")) {
      #expect(status.code == .resourceExhausted)
      #expect(status.retryDelay == .milliseconds(1_500))
    }
  }

  @Test func withoutDetails() async throws {
    for status in try await travelled(Status(.notFound, "no such thing")) {
      #expect(status.details.isEmpty)
      #expect(status.detail(Status.ErrorInfo.self) == nil)
      #expect(status.fieldViolations.isEmpty)
    }
    #expect(Status(.notFound, "x", details: []) == Status(.notFound, "x"))
  }

  /// Too much is left out, from the end; the error itself always arrives.
  @Test func tooMuchIsLeftOut() async throws {
    let long = Status.DebugInfo(stackEntries: Array(repeating: "at a line of a file", count: 1_000), detail: "")
    for status in try await travelled(Status(.internalError, "broken", details: [info, long])) {
      #expect(status.code == .internalError)
      #expect(status.message == "broken")
      #expect(status.details(of: Status.ErrorInfo.self) == [info])
      #expect(status.details.count == 1)
    }
    for status in try await travelled(Status(.internalError, "broken", details: [long, info])) {
      #expect(status.code == .internalError)
      #expect(status.details.isEmpty)
    }
  }

  /// What a program acts on counts for more than the end of a long message.
  @Test func aLongMessageLeavesRoomForDetails() async throws {
    let long = String(repeating: "a", count: 6_500)
    let sent = Status.retry(after: .seconds(1), .unavailable, long)
    #expect(sent.retryDelay == .seconds(1))
    for status in try await travelled(sent) {
      #expect(status.code == .unavailable)
      #expect(status.message == String(long.prefix(1_024)))
      #expect(status.retryDelay == .seconds(1))
      // Some libraries take a status for none whose details say another message.
      #expect(try GoogleRpcStatus(wire: status.metadata.binary("grpc-status-details-bin") ?? []).message
        == status.message)
    }
    // As long as both fit, the message is whole.
    let whole = String(repeating: "a", count: 3_000)
    for status in try await travelled(.retry(after: .seconds(1), .unavailable, whole)) {
      #expect(status.message == whole)
      #expect(status.retryDelay == .seconds(1))
    }
  }

  /// Together they are no longer than a client takes, whatever the message becomes on its way.
  @Test func aLongMessageOfAnotherScript() async throws {
    let debug = Status.DebugInfo(stackEntries: [], detail: String(repeating: "d", count: 3_300))
    let long = String(repeating: "語", count: 950)
    for status in try await travelled(Status(.aborted, long, details: [debug])) {
      #expect(status.code == .aborted)
      #expect(status.message == String(long.prefix(1_024 / 9)))
      #expect(status.detail(Status.DebugInfo.self) == debug)
    }
  }

  /// Metadata of one's own takes from the message, not from the code.
  @Test(arguments: [6_000, 12_000]) func aLongMessageBesideMetadata(length: Int) async throws {
    let metadata: Metadata = ["x-long": String(repeating: "v", count: length)]
    let long = String(repeating: "語", count: 950)
    for details in [[], [info]] {
      for status in try await travelled(Status(.aborted, long, details: details, metadata: metadata)) {
        #expect(status.code == .aborted)
        #expect(long.hasPrefix(status.message))
        #expect(status.message.count >= 1_024 / 9)
        #expect(status.details(of: Status.ErrorInfo.self) == details)
        #expect(status.metadata["x-long"]?.count == length)
      }
    }
  }

  @Test func whatCannotBeReadHidesNothing() async throws {
    var raw = Metadata()
    raw.addBinary([0xFF, 1, 2, 3], for: "grpc-status-details-bin")
    for status in try await travelled(Status(.aborted, "conflict", metadata: raw)) {
      #expect(status.code == .aborted)
      #expect(status.message == "conflict")
      #expect(status.details.isEmpty)
    }
    // Another code and message inside: those of the trailers count. A detail that is not what it says is left out.
    var packed = GoogleRpcStatus(code: 5, message: "something else")
    packed.details = [
      GoogleProtobufAny(typeUrl: "type.googleapis.com/google.rpc.ErrorInfo", value: [0xFF]),
      GoogleProtobufAny(typeUrl: "google.rpc.ErrorInfo", value: []),
      try GoogleProtobufAny(packing: info),
    ]
    var other = Metadata()
    other.addBinary(try packed.bytes(), for: "grpc-status-details-bin")
    for status in try await travelled(Status(.aborted, "conflict", metadata: other)) {
      #expect(status.code == .aborted)
      #expect(status.message == "conflict")
      #expect(status.details.count == 3)
      #expect(status.details(of: Status.ErrorInfo.self) == [info])
    }
  }

  @Test func whatCannotBeEncodedIsLeftOut() {
    let bad = Status.ErrorInfo(reason: "a\0b")
    let status = Status(.unknown, "x", details: [bad, info])
    #expect(status.details.count == 1)
    #expect(status.detail(Status.ErrorInfo.self) == info)
  }
}

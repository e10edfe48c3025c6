import Foundation
import Messages
import NIOHTTP1
import Synchronization
import TestSupport
import Testing

@testable import BuddyCLI

/// A console that keeps what is written.
final class Paper: Sendable {
  private let written = Mutex<(output: [UInt8], errors: [UInt8])>(([], []))
  var output: String { written.withLock { String(decoding: $0.output, as: UTF8.self) } }
  var errors: String { written.withLock { String(decoding: $0.errors, as: UTF8.self) } }

  func console(terminal: Bool = false, columns: Int = 80) -> Console {
    Console(
      write: { target, bytes in
        self.written.withLock { if target == .output { $0.output += bytes } else { $0.errors += bytes } }
      },
      isOutputTerminal: terminal, isErrorTerminal: terminal, columns: { columns }, usesColor: false, usesUnicode: false)
  }
}

extension Console {
  /// Whose standard output cannot be written.
  static func failing(_ error: any Error) -> Console {
    Console(
      write: { target, _ in if target == .output { throw error } }, isOutputTerminal: false, isErrorTerminal: false,
      columns: { 80 }, usesColor: false, usesUnicode: false)
  }
}

@Suite("A mission from the order to the report")
struct MissionRunTests {
  private static func answer(_ request: PeerGateway.Request, _ reply: PeerGateway.Reply, final: String) async throws {
    switch (request.method, request.path) {
    case (.POST, "/api/v1/artifacts"):
      try await reply.json("{\"id\":\"a-in\",\"sha256\":\"\(SHA.hexadecimal(request.body))\"}", .created)
    case (.POST, "/api/v1/missions"):
      try await reply.json(#"{"id":"m-1","state":"MISSION_STATE_APPROVED"}"#, .created)
    case (.GET, "/api/v1/missions/m-1/events"):
      try await reply.events()
      try await reply.event(1, type: "state_changed", #","state":"MISSION_STATE_RUNNING""#)
      try await reply.event(
        2, type: "step_started",
        #","step":"STEP_EXECUTION","percent":55,"state":"MISSION_STATE_RUNNING","message":"a\u001bb""#)
      try await reply.lastEvent()
    case (.GET, "/api/v1/missions/m-1/progress"): try await reply.json(#"{"missionId":"m-1","percent":55}"#)
    case (.GET, "/api/v1/missions/m-1"): try await reply.json(final)
    default: try await reply.json(#"{"error":{"code":"NOT_FOUND","message":"no such address"}}"#, .notFound)
    }
  }

  private static let succeeded = """
    {"id":"m-1","state":"MISSION_STATE_SUCCEEDED","percent":100,"result":{"text":"mean\\n4.5\\u001b[2J\\n",
    "artifacts":[{"artifactId":"a-1","name":"chart.json","mediaType":"application/json","size":"1536"}]}}
    """

  private func run(
    _ final: String, inputs: [InputFile] = [], json: Bool = false, waits: Bool = true, terminal: Bool = false
  ) async throws -> (reason: ExitReason, paper: Paper, requests: [PeerGateway.Request], port: Int) {
    let paper = Paper()
    return try await PeerGateway.with { try await Self.answer($0, $1, final: final) } _: { peer, port in
      let order = MissionOrder(
        request: SubmitMissionRequest(objective: "x"), inputs: inputs, idempotencyKey: "k", waits: waits, json: json)
      let reason = try await GatewayClientTests.client(port) { gateway in
        try await MissionRun(gateway: gateway, console: paper.console(terminal: terminal), order: order).run()
      }
      return (reason, paper, peer.requests, port)
    }
  }

  @Test("without a terminal: a line an event on standard error, the result and its addresses on standard output")
  func plain() async throws {
    let folder = try TemporaryFolder("run")
    try "a,b\n".write(toFile: folder.file("in.csv"), atomically: true, encoding: .utf8)
    let result = try await run(Self.succeeded, inputs: [try InputFile(path: folder.file("in.csv"))])
    #expect(result.reason == .success)
    #expect(
      result.paper.output == """
        mean
        4.5\\x1b[2J

        chart.json (1.5 KiB)  http://127.0.0.1:\(result.port)/api/v1/artifacts/a-1/content

        """)
    #expect(
      result.paper.errors == """
        mission m-1
          0 %  mission       running
         55 %  execution     started           a\\x1bb

        """)
    let submitted = try #require(result.requests.first { $0.path == "/api/v1/missions" })
    #expect(
      String(decoding: submitted.body, as: UTF8.self)
        == #"{"objective":"x","inputs":[{"name":"in.csv","artifactId":"a-in"}]}"#)
  }

  @Test("with a terminal: one line that is redrawn and stays at the end")
  func terminal() async throws {
    let result = try await run(Self.succeeded, terminal: true)
    let drawn = result.paper.errors.components(separatedBy: "\r\u{1B}[K").filter { !$0.isEmpty }
    #expect(drawn.count >= 2)
    #expect(drawn.allSatisfy { TerminalText.width($0) <= 80 })
    #expect(drawn.last?.hasSuffix("\n") == true)
    #expect(drawn.last?.contains(#" 55 %  execution: a\x1bb"#) == true)
  }

  @Test("a mission that fails: its code and message, and status 1")
  func failed() async throws {
    let final = """
      {"id":"m-1","state":"MISSION_STATE_FAILED","error":{"code":"UNKNOWN_COLUMN","message":"no column pricee"}}
      """
    let result = try await run(final)
    #expect(result.reason == .failed)
    #expect(result.paper.output == "")
    #expect(result.paper.errors.hasSuffix("buddy: mission m-1 failed: UNKNOWN_COLUMN: no column pricee\n"))
  }

  @Test("as JSON: one object and nothing else on standard output")
  func json() async throws {
    let result = try await run(Self.succeeded, json: true)
    let object = try JSONSerialization.jsonObject(with: Data(result.paper.output.utf8)) as? [String: Any]
    #expect(object?["id"] as? String == "m-1")
    #expect(result.paper.output.filter { $0 == "\n" }.count == 1)
  }

  @Test("what goes wrong after the mission was submitted names it", arguments: [true, false])
  func names(_ waits: Bool) async throws {
    let full = CommandError(code: "OUTPUT", message: "cannot write", exit: .cannotWrite)
    try await PeerGateway.with { try await Self.answer($0, $1, final: Self.succeeded) } _: { _, port in
      let order = MissionOrder(
        request: SubmitMissionRequest(objective: "x"), inputs: [], idempotencyKey: "k", waits: waits)
      let error = await #expect(throws: CommandError.self) {
        try await GatewayClientTests.client(port) { gateway in
          try await MissionRun(gateway: gateway, console: .failing(full), order: order).run()
        }
      }
      #expect(error?.exit == .cannotWrite)
      #expect(error?.message == "cannot write; mission m-1 is submitted, watch it with `buddy mission watch m-1`")
    }
  }

  @Test("printing without a reader is no error, printing to a full disk is")
  func printing() throws {
    try Console.failing(Console.ReaderGone()).print("x")
    let full = CommandError(code: "OUTPUT", message: "full", exit: .cannotWrite)
    #expect(throws: full) { try Console.failing(full).print("x") }
  }

  @Test("without waiting: the id, and nothing is watched")
  func noWait() async throws {
    let result = try await run(Self.succeeded, waits: false)
    #expect(result.reason == .success)
    #expect(result.paper.output == "m-1\n")
    #expect(result.requests.map { $0.path } == ["/api/v1/missions"])
  }
}

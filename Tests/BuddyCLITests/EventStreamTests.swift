import Messages
import NIOCore
import NIOHTTP1
import ServiceKit
import Synchronization
import TestSupport
import Testing

@testable import BuddyCLI

@Suite("Following a mission through a gateway that comes and goes")
struct EventStreamTests {
  /// Runs the stream to its end; returns the sequences in the order reported, and the interruptions.
  private func follow(
    _ port: Int, after: UInt64 = 0, limits: GatewayClient.Limits = .init(), patience: Duration = .seconds(60)
  ) async throws -> (sequences: [UInt64], notices: [String]) {
    try await GatewayClientTests.client(port, limits: limits) { gateway in
      var (sequences, notices) = ([UInt64](), [String]())
      try await EventStream(gateway: gateway, mission: "m-1", patience: patience).follow(after: after) { notice in
        switch notice {
        case .event(let event): sequences.append(event.sequence)
        case .interrupted: notices.append("interrupted")
        case .resumed: notices.append("resumed")
        }
      }
      return (sequences, notices)
    }
  }

  @Test("a broken connection, a repeated event and a gap leave the transcript whole")
  func reconnects() async throws {
    let connections = Mutex(0)
    try await PeerGateway.with { request, reply in
      let number = connections.withLock { count in
        count += 1
        return count
      }
      // What a broken connection has delivered is up to the network: each goes on from what the other side knows.
      let known = Int(request.header("last-event-id") ?? "") ?? 0
      try await reply.events()
      switch number {
      case 1:
        for sequence in 1...3 { try await reply.event(sequence) }
        try await reply.body("id: 4\nevent: step_pro")
        throw PeerGateway.BreakOff()
      case 2:
        for sequence in [known, known + 1, known + 3] { try await reply.event(sequence) }
        try await reply.end()
      default:
        try await reply.body(": heartbeat\n\n")
        for sequence in (known + 1)...6 { try await reply.event(sequence) }
        try await reply.body("event: invented\ndata: {\"sequence\":\"7\"}\n\n")
        try await reply.lastEvent()
      }
    } _: { gateway, port in
      let (sequences, notices) = try await follow(port)
      #expect(sequences == Array(1...6))
      #expect(notices == ["interrupted", "resumed", "interrupted", "resumed"])
      let known = gateway.requests.compactMap { $0.header("last-event-id") }
      #expect(known.count == 3 && known[0] == "0")
      #expect(gateway.requests.last?.uri == "/api/v1/missions/m-1/events?after_sequence=\(known[2])")
    }
  }

  @Test("it begins after the event that is named")
  func after() async throws {
    try await PeerGateway.with { request, reply in
      try await reply.events()
      for sequence in 1...5 { try await reply.event(sequence) }
      try await reply.lastEvent()
    } _: { _, port in
      let sequences = try await follow(port, after: 3).sequences
      #expect(sequences == [4, 5])
    }
  }

  @Test("a gateway that falls silent counts as dead")
  func silence() async throws {
    var limits = GatewayClient.Limits()
    limits.silence = .milliseconds(200)
    try await PeerGateway.with { request, reply in
      // On a busy machine any part of an answer may come later than the silence allows. Then the same is asked again,
      // as often as it takes, and there must be nothing left to send but what was not seen.
      let known = Int(request.header("last-event-id") ?? "") ?? 0
      try await reply.events()
      if known < 2 { try await reply.event(known + 1) }
      if known == 0 { try await Task.sleep(for: .seconds(3600)) }
      try await reply.lastEvent()
    } _: { [limits] _, port in
      let (sequences, notices) = try await follow(port, limits: limits)
      #expect(sequences == [1, 2])
      #expect(notices.starts(with: ["interrupted", "resumed"]))
    }
  }

  @Test(
    "an answer that is torn, or for the moment none of HTTP, is a broken connection",
    arguments: ["HTTP/1.1 20", "HTTP/1.1 200 OK\r\ncontent-ty", "SSH-2.0-x\r\n", "GET / HTTP/1.1\r\n\r\n", ""])
  func torn(_ answer: String) async throws {
    try await follow(torn: answer)
  }

  @Test(
    "a body that is torn inside a chunk, its size or its end is a broken connection",
    arguments: ["5\r\nid: ", "5", "5\r\nid: 1", "5\r\nid: 1XX", "zz\r\n", "0\r\n"])
  func tornChunk(_ rest: String) async throws {
    try await follow(
      torn: "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n\(rest)")
  }

  /// The first connection gets `answer` and its end; those after it a whole stream.
  private func follow(torn answer: String) async throws {
    let data = #"{"missionId":"m-1","sequence":"1","type":"EVENT_TYPE_STEP_PROGRESS"}"#
    let whole = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n"
      + "id: 1\nevent: step_progress\ndata: \(data)\n\nevent: end\ndata: {}\n\n"
    let (sequences, notices) = try await PeerGateway.raw([answer, whole]) { port in try await follow(port) }
    #expect(sequences == [1])
    #expect(notices == ["interrupted", "resumed"])
  }

  @Test("what is refused is not tried again")
  func refused() async throws {
    try await PeerGateway.with { _, reply in
      try await reply.json(#"{"error":{"code":"NOT_FOUND","message":"no mission m-1"}}"#, .notFound)
    } _: { gateway, port in
      let error = await #expect(throws: CommandError.self) { try await follow(port) }
      #expect(error?.exit == .notFound)
      #expect(gateway.requests.count == 1)
    }
  }

  @Test("without a gateway it ends after its patience, and says how to go on")
  func patience() async throws {
    let error = await #expect(throws: CommandError.self) { try await follow(1, patience: .milliseconds(300)) }
    #expect(error?.exit == .unavailable)
    #expect(error?.message.contains("buddy mission watch m-1 --after 0") == true)
  }
}

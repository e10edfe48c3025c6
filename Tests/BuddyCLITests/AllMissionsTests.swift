import ArgumentParser
import Foundation
import Messages
import NIOHTTP1
import Synchronization
import TestSupport
import Testing

@testable import BuddyCLI

@Suite("Watching all missions", .timeLimit(.minutes(1)))
struct AllMissionsTests {
  private static func event(_ position: Int, _ mission: String, _ fields: String = "") -> String {
    let data = """
      {"missionId":"\(mission)","sequence":"1","type":"EVENT_TYPE_STATE_CHANGED","state":"MISSION_STATE_RUNNING",\
      "time":"1970-01-01T00:00:09Z"\(fields)}
      """
    return "id: \(position)\nevent: state_changed\ndata: \(data)\n\n"
  }

  private static let refusal =
    "event: error\ndata: {\"error\":{\"code\":\"INVALID_ARGUMENT\",\"message\":\"the end\"}}\n\n"

  /// Watches until the gateway refuses; returns what was printed and asked for.
  private func watch(
    _ selection: EventSelection = .init(), after position: UInt64?, json: Bool = false,
    _ handler: @escaping PeerGateway.Handler
  ) async throws -> (paper: Paper, advice: String, requests: [PeerGateway.Request]) {
    let paper = Paper()
    return try await PeerGateway.with(handler) { gateway, port in
      let advice = try await GatewayClientTests.client(port) { client in
        let watch = AllMissionsWatch(
          gateway: client, console: paper.console(), selection: selection, after: position, json: json)
        let error = await #expect(throws: CommandError.self) { try await watch.run() }
        #expect(error?.message == "the end")
        return watch.advice
      }
      return (paper, advice, gateway.requests)
    }
  }

  @Test("every event is a line; after a broken connection it goes on after the last position, holes or not")
  func resumes() async throws {
    let selection = EventSelection(owner: "ann", labels: ["a": "1", "team": "R&D"], states: [.running], recipe: "r")
    let result = try await watch(selection, after: 3) { request, reply in
      let known = Int(request.header("last-event-id") ?? "") ?? 0
      try await reply.events()
      switch known {
      case 3:
        try await reply.body(Self.event(5, "m-1", #","facts":{"owner":"ann","objective":"Chart\u001bit"}"#))
        // Cut short: it must come again.
        try await reply.body("id: 8\nevent: state_changed\n")
        throw PeerGateway.BreakOff()
      default:
        for position in [5, 8, 9] where position >= known { try await reply.body(Self.event(position, "m-2")) }
        try await reply.body(Self.refusal)
        try await reply.end()
      }
    }
    let lines = result.paper.output.split(separator: "\n").map(String.init)
    #expect(lines == [
      #"1970-01-01T00:00:09Z  m-1    0 %  mission       running  [ann] Chart\x1bit"#,
      "1970-01-01T00:00:09Z  m-2    0 %  mission       running",
      "1970-01-01T00:00:09Z  m-2    0 %  mission       running",
    ])
    #expect(result.requests.first?.uri
      == "/api/v1/events?after_position=3&owner=ann&label=a%3A1&label=team%3AR%26D&state=RUNNING&recipe=r")
    #expect(result.requests.last?.uri.hasPrefix("/api/v1/events?after_position=5&") == true)
    #expect(result.advice == "go on with `buddy mission watch --all --after 9`")
  }

  @Test("from now on: until something has come it asks for what is new, or after where the stream says it stands")
  func fromNow() async throws {
    let connections = Mutex(0)
    let result = try await watch(after: nil, json: true) { request, reply in
      let number = connections.withLock { count in
        count += 1
        return count
      }
      try await reply.events()
      switch number {
      case 1: try await reply.end()
      case 2:
        try await reply.body("id: 40\n\n: waiting\n\n")
        try await reply.end()
      default:
        try await reply.body(Self.event(41, "m-1"))
        try await reply.body(Self.refusal)
        try await reply.end()
      }
    }
    #expect(result.requests.map(\.uri) == [
      "/api/v1/events?from_now=true", "/api/v1/events?from_now=true", "/api/v1/events?after_position=40",
    ])
    #expect(result.requests.map { $0.header("last-event-id") } == [nil, nil, "40"])
    #expect(result.paper.output.hasPrefix(#"{"position":"41","event":{"missionId":"m-1""#))
  }

  @Test("a gap is asked for again, and told where nothing fills it")
  func gap() async throws {
    let connections = Mutex(0)
    let result = try await watch(after: 0) { request, reply in
      let number = connections.withLock { count in
        count += 1
        return count
      }
      try await reply.events()
      if number == 1 { try await reply.body(Self.event(1, "m-1")) }
      try await reply.body("id: 9\nevent: gap\ndata: {\"resumeAfter\":\"9\"}\n\n")
      if number > 1 {
        try await reply.body(Self.event(10, "m-2"))
        try await reply.body(Self.refusal)
      }
      try await reply.end()
    }
    let lines = result.paper.output.split(separator: "\n")
    #expect(lines.count == 3)
    #expect(lines[1] == "events up to position 9 are left out: they are not kept any more")
    #expect(result.requests.last?.uri == "/api/v1/events?after_position=1")
  }

  @Test("what is not kept any more is told once, and leaves out nothing else")
  func notKept() async throws {
    let connections = Mutex(0)
    let result = try await watch(after: 3) { _, reply in
      let number = connections.withLock { count in
        count += 1
        return count
      }
      try await reply.events()
      try await reply.body(
        "id: \(number + 2)\nevent: gap\ndata: {\"resumeAfter\":\"\(number + 2)\",\"prunedThrough\":\"9\"}\n\n")
      try await reply.body(Self.event(number + 3, "m-1"))
      if number > 1 { try await reply.body(Self.refusal) }
      try await reply.end()
    }
    let lines = result.paper.output.split(separator: "\n")
    #expect(lines.count == 3)
    #expect(lines.first == "some events up to position 9 are not kept any more; those that are follow")
    #expect(result.requests.last?.uri == "/api/v1/events?after_position=4")
  }

  @Test("a reader that goes away ends it")
  func readerGone() async throws {
    try await PeerGateway.with { _, reply in
      try await reply.events()
      try await reply.body(Self.event(1, "m-1"))
      try await Task.sleep(for: .seconds(3600))
    } _: { _, port in
      try await GatewayClientTests.client(port) { client in
        try await AllMissionsWatch(
          gateway: client, console: .failing(Console.ReaderGone()), selection: .init(), after: 0, json: false
        ).run()
      }
    }
  }

  @Test("the options of the command make the selection")
  func options() throws {
    let command = try #require(try Buddy.parseAsRoot([
      "mission", "watch", "--all", "--owner", "ann", "--label", "a=1", "--state", "running", "--state", "paused",
      "--recipe", "r", "--from-now",
    ]) as? MissionCommand.Watch)
    #expect(try command.selection()
      == EventSelection(owner: "ann", labels: ["a": "1"], states: [.running, .paused], recipe: "r"))
  }
}

@Suite("A mission whose first events are gone", .timeLimit(.minutes(1)))
struct RetentionTests {
  @Test("it goes on with those that are kept, and says which are not")
  func goesOn() async throws {
    let paper = Paper()
    try await PeerGateway.with { request, reply in
      switch request.path {
      case "/api/v1/missions/m-1/events" where request.uri.hasSuffix("after_sequence=0"):
        try await reply.json(#"{"error":{"code":"OUT_OF_RANGE","message":"not kept"}}"#, .badRequest)
      case "/api/v1/missions/m-1/events":
        try await reply.events()
        try await reply.event(6, type: "state_changed", #","percent":100,"state":"MISSION_STATE_SUCCEEDED""#)
        try await reply.lastEvent()
      case "/api/v1/missions/m-1/progress":
        try await reply.json(#"{"missionId":"m-1","firstSequence":"6","lastSequence":"6"}"#)
      default: try await reply.json(#"{"id":"m-1","state":"MISSION_STATE_SUCCEEDED"}"#)
      }
    } _: { gateway, port in
      try await GatewayClientTests.client(port) { client in
        let display = ProgressDisplay(paper.console())
        let watch = MissionWatch(gateway: client, mission: "m-1", display: display, console: paper.console())
        let mission = try await watch.run()
        #expect(mission.state == .succeeded)
      }
      #expect(paper.errors == "events 1 to 5 are not kept any more\n100 %  mission       succeeded\n")
      #expect(gateway.requests.contains { $0.uri == "/api/v1/missions/m-1/events?after_sequence=5" })
    }
  }
}

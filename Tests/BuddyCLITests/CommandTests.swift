import ArgumentParser
import Foundation
import Messages
import NIOHTTP1
import Synchronization
import Testing

@testable import BuddyCLI

/// The command line's own, not the message of the same name.
typealias MissionCommand = BuddyCLI.MissionCommand

@Suite("Commands on a mission", .timeLimit(.minutes(1)))
struct CommandTests {
  private let mark = CommandMark(requestID: "r-1", expectedVersion: 7)

  @Test("each command goes to its own address with its id, its version and what it says")
  func requests() async throws {
    try await PeerGateway.with { _, reply in
      try await reply.json(#"{"id":"m-1","state":"MISSION_STATE_RUNNING"}"#)
    } _: { gateway, port in
      try await GatewayClientTests.client(port) { client in
        _ = try await client.approve("m-1", mark)
        _ = try await client.reject("m-1", reason: "no", mark)
        _ = try await client.cancel("m-1", reason: "", mark)
        _ = try await client.pause("m-1", reason: "lunch", mark)
        _ = try await client.resume("m-1", mark)
        _ = try await client.modify("m-1", ModifyMissionRequest(removeParameters: ["a"]), mark)
        _ = try await client.answer("m-1", question: "q", Answer(value: .yes(false)), mark)
      }
      let marked = #""expectedVersion":"7","requestId":"r-1""#
      #expect(gateway.requests.map { "\($0.uri.dropFirst(20)) \(String(decoding: $0.body, as: UTF8.self))" } == [
        "/approve {\(marked)}", "/reject {\"reason\":\"no\",\(marked)}", "/cancel {\(marked)}",
        "/pause {\"reason\":\"lunch\",\(marked)}", "/resume {\(marked)}",
        "/modify {\(marked),\"removeParameters\":[\"a\"]}",
        "/answer {\(marked),\"questionId\":\"q\",\"answer\":{\"yes\":false}}",
      ])
    }
  }

  @Test("a command whose answer got lost is said again in the same words")
  func retries() async throws {
    let attempts = Mutex(0)
    try await PeerGateway.with { _, reply in
      let isFirst = attempts.withLock { count in
        count += 1
        return count == 1
      }
      if isFirst { throw PeerGateway.BreakOff() }
      try await reply.json(#"{"id":"m-1","state":"MISSION_STATE_PAUSED"}"#)
    } _: { gateway, port in
      let mission = try await GatewayClientTests.client(port) { try await $0.pause("m-1", reason: "", mark) }
      #expect(mission.state == .paused)
      #expect(gateway.requests.count == 2 && Set(gateway.requests.map(\.body)).count == 1)
    }
  }

  private func modify(_ arguments: String...) throws -> MissionCommand.Modify {
    try #require(try Buddy.parseAsRoot(["mission", "modify", "m"] + arguments) as? MissionCommand.Modify)
  }

  @Test("everything that can be modified")
  func modification() throws {
    let now = Date(timeIntervalSince1970: 1000)
    let full = try modify(
      "--objective", "Chart it", "--set", "a=1", "--set", "b=", "--unset", "c", "--budget", "0.5", "--deadline",
      "in 1h30m", "--tool", "calculate", "--priority", "-5", "--reason", "why")
    #expect(
      try full.request(now: now)
        == ModifyMissionRequest(
          reason: "why", objective: GoogleProtobufStringValue(value: "Chart it"), setParameters: ["a": "1", "b": ""],
          removeParameters: ["c"], budget: Money(micros: 500_000, currency: "USD"),
          deadline: GoogleProtobufTimestamp(now.addingTimeInterval(5400)),
          requestedTool: GoogleProtobufStringValue(value: "calculate"), priority: GoogleProtobufInt32Value(value: -5)))
    let rest = try modify("--no-deadline", "--any-tool", "--priority", "0").request()
    #expect(
      rest
        == ModifyMissionRequest(
          removeDeadline: true, requestedTool: GoogleProtobufStringValue(), priority: GoogleProtobufInt32Value()))
    // What is set to its default has to arrive all the same.
    #expect(try WireJSON.encode(rest) == #"{"removeDeadline":true,"requestedTool":"","priority":0}"#)
  }

  @Test("deadlines are moments or spans", arguments: [
    ("in 2h", 8200), ("2h", 8200), ("1970-01-01T00:30:00Z", 1800), ("1970-01-01T01:30:00.5+01:00", 1800.5),
  ])
  func deadlines(_ text: String, _ seconds: Double) throws {
    let deadline = try #require(DeadlineText(text))
    #expect(deadline.resolved(now: Date(timeIntervalSince1970: 1000)).date.timeIntervalSince1970 == seconds)
  }

  @Test("what is refused before anything is sent", arguments: [
    ["modify", "m"], ["modify", "m", "--reason", "x"], ["modify", "m", "--deadline", "soon"],
    ["modify", "m", "--deadline", "0s"], ["modify", "m", "--deadline", "1970-01-01"],
    ["modify", "m", "--deadline", "1s", "--no-deadline"], ["modify", "m", "--tool", "x", "--any-tool"],
    ["modify", "m", "--tool", ""], ["modify", "m", "--set", "a"], ["modify", "m", "--set", "a=1", "--set", "a=2"],
    ["modify", "m", "--set", "a=1", "--unset", "a"], ["modify", "m", "--unset", ""],
    ["modify", "m", "--objective", " "], ["modify", "m", "--priority", "101"], ["pause", ""],
    ["pause", "m", "--request-id", ""],
    ["pause", "m", "--request-id", String(repeating: "r", count: 201)], ["resume", "m", "--expected-version", "0"],
    ["watch"], ["watch", ""], ["watch", "m", "--all"], ["watch", "m", "--from-now"], ["watch", "m", "--owner", "x"],
    ["watch", "--all", "--from-now", "--after", "3"], ["watch", "--all", "--label", "x"], ["queue", "--limit", "0"],
    ["queue", "--owner", ""], ["list", "--owner", ""], ["list", "--recipe", ""], ["watch", "--all", "--owner", ""],
    ["answer"], ["approve", "m", "--request-id", ""],
  ])
  func refused(_ arguments: [String]) throws {
    let error = #expect(throws: (any Error).self) { try Buddy.parseAsRoot(["mission"] + arguments) }
    #expect(Buddy.exitCode(for: try #require(error)).rawValue == 64)
  }

  @Test("a value that does not fit is what the message is about", arguments: [
    (["mission", "pause", "m", "--expected-version", "-1"], "--expected-version must be at least 1"),
    (["mission", "modify", "m", "--budget", "-1"], "'-1' is no amount of money"),
    (["mission", "modify", "m", "--deadline", "-1h"], "'-1h' is no deadline"),
    (["mission", "watch", "--all", "--after", "-1"], "The value '-1' is invalid for '--after"),
    (["mission", "queue", "--limit", "-1"], "--limit must be from 1 to 10000"),
    (["mission", "list", "--limit", "-1"], "--limit must be from 1 to 10000"),
    (["audit", "list", "--limit", "-1"], "--limit must be from 1 to 10000"),
    (["artifact", "list", "--limit", "-1"], "--limit must be from 1 to 10000"),
    (["delivery", "list", "--limit", "-1"], "--limit must be from 1 to 1000"),
    (["run", "x", "--budget", "-1"], "'-1' is no amount of money"),
    (["run", "x", "--deadline", "-1s"], "'-1s' is no span of time"),
    (["run", "x", "--param", "a"], "write NAME=VALUE"), (["run", "x", "--label", "=a"], "write NAME=VALUE"),
    (["mission", "modify", "m", "--set", "novalue"], "'novalue' has no name and value; write NAME=VALUE"),
    (["mission", "modify", "m", "--set", "=v"], "'=v' has no name and value; write NAME=VALUE"),
    (["mission", "watch", "--all", "--label", "x"], "write NAME=VALUE"),
    (["mission", "queue", "--owner", ""], "--owner is empty"), (["audit", "list", "--actor", ""], "--actor is empty"),
  ])
  func wrongValues(_ arguments: [String], _ words: String) throws {
    let error = #expect(throws: (any Error).self) { try Buddy.parseAsRoot(arguments) }
    let message = Buddy.message(for: try #require(error))
    #expect(message.contains(words), "\(message)")
  }

  @Test("what a command did, in one line", arguments: [
    (.paused, MissionChange(command: .pause, step: .execution, applied: true, staleSteps: [.execution]),
      "m-1 PAUSED: paused at execution; it begins anew after the resume"),
    (.running, MissionChange(command: .pause, step: .execution), "m-1 RUNNING: pauses when execution ends"),
    (.paused, MissionChange(command: .pause, applied: true), "m-1 PAUSED: paused before it began"),
    (.running, MissionChange(command: .resume, step: .budget, applied: true),
      "m-1 RUNNING: resumed; goes on with budget"),
    (.running, MissionChange(
      command: .modify, step: .execution, applied: true, staleSteps: [.execution], fields: ["parameters"]),
      "m-1 RUNNING: modified: parameters; execution runs anew"),
    (.pendingApproval, MissionChange(
      command: .modify, step: .execution, applied: true, staleSteps: [.intent, .budget, .selection],
      fields: ["objective", "requested_tool"]),
      "m-1 PENDING_APPROVAL: modified: objective and tool; intent, budget and selection run anew; waits for approval"),
    (.cancelled, MissionChange(command: .cancel, step: .intent, applied: true), "m-1 CANCELLED: cancelled at intent"),
    (.running, MissionChange(command: .answer, step: .execution, applied: true),
      "m-1 RUNNING: answered; goes on with execution"),
  ] as [(MissionState, MissionChange, String)])
  func report(_ state: MissionState, _ change: MissionChange, _ line: String) {
    var change = change
    change.requestId = "r-1"
    let mission = Mission(id: "m-1", state: state, changes: [change, MissionChange(command: .cancel, requestId: "r-2")])
    #expect(CommandReport.line(mission, requestID: "r-1") == line)
  }

  @Test("a mission of a service without changes is shown with its state")
  func plainReport() {
    #expect(CommandReport.line(Mission(id: "m-1", state: .approved), requestID: "r") == "m-1 APPROVED")
  }

  @Test("the queue goes on from page to page, and keeps what the first said of all")
  func queue() async throws {
    try await PeerGateway.with { request, reply in
      let isNext = request.uri.contains("page_token")
      try await reply.json("""
        {"entries":[{"missionId":"\(isNext ? "b" : "a")","owner":"ann","priority":5,"effectivePriority":7.25,
        "waitingSince":"1970-01-01T00:00:30Z","waitingFor":"a place","position":"\(isNext ? 2 : 1)"}],
        "nextPageToken":"\(isNext ? "" : "t")","waiting":"2","running":1,"runningLimit":4,
        "tools":[{"tool":"calculate"},{"tool":"data_analyze","running":1,"limit":2}]}
        """)
    } _: { gateway, port in
      let queue = try await GatewayClientTests.client(port) { try await $0.queue(owner: "ann", limit: 20) }
      #expect(gateway.requests.map(\.uri) == [
        "/api/v1/queue?owner=ann&page_size=20", "/api/v1/queue?owner=ann&page_size=19&page_token=t",
      ])
      #expect(MissionCommand.Queue.summary(queue) == "2 missions wait, 1 of 4 run; data_analyze 1 of 2")
      let lines = MissionCommand.Queue.table(queue.entries, now: Date(timeIntervalSince1970: 90)).lines(columns: nil)
      #expect(lines.count == 3)
      #expect(lines[1] == "    1  a        ann           5        7.2     1:00  a place")
    }
  }
}

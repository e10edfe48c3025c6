import Messages
import RPC
import ServiceKit
import Stubs
import Synchronization
import TestSupport
import Testing

@testable import GatewayService

/// Watchers who ask for what comes after an event that there is not, or that only their feed has not got yet.
@Suite(.timeLimit(.minutes(2))) struct BeyondTheEndTests {
  private let path = "/api/v1/missions/m/events"

  private func open(_ gateway: TestGateway, _ path: String) async throws -> EventReader {
    EventReader(try await gateway.open("GET", path, EventStreamTests.sse))
  }

  /// What a watcher is told over server-sent events, and over a WebSocket.
  private func refusals(_ gateway: TestGateway, _ path: String, _ subscription: String) async throws -> [String] {
    var reader = try await open(gateway, path)
    let events = try await reader.rest()
    #expect(events.map(\.name) == ["error"])
    let message = try await SocketClient.with(port: gateway.port) { socket in
      try await socket.send(SocketFeedTests.subscribe("a", subscription))
      return try #require(try await socket.messages(until: "error").last)
    }
    #expect(message.errorCode == "OUT_OF_RANGE")
    return events.map(\.data)
  }

  /// With nobody else watching, and with a feed that others follow, which goes on.
  @Test func aRunningMissionHasNoSuchEvent() async throws {
    let log = LaggingLog(total: 6, stored: 3, shown: 3)
    try await withGateway(Backend(progress: log.progress)) { gateway in
      for _ in 0..<2 {
        let told = try await refusals(gateway, path + "?after_sequence=99", #""missionId":"m","afterSequence":"99""#)
        #expect(told.allSatisfy { $0.contains("OUT_OF_RANGE") && $0.contains("its last one is 3") })
      }
      var reader = try await open(gateway, path)
      for number in 1...3 { #expect(try await reader.next()?.id == "\(number)") }
      let told = try await refusals(gateway, path + "?after_sequence=99", #""missionId":"m","afterSequence":"99""#)
      #expect(told.allSatisfy { $0.contains("its last one is 3") && $0.contains(#""resumeAfter":"3""#) })
      log.show(6)
      #expect(try await reader.rest().map(\.id) == expectedIDs(4...6))
    }
  }

  @Test func theEndNamesTheLastEvent() async throws {
    let log = LaggingLog(total: 6, stored: 6, shown: 6)
    try await withGateway(Backend(progress: log.progress)) { gateway in
      _ = try await refusals(gateway, path + "?after_sequence=99", #""missionId":"m","afterSequence":"99""#)
      for after in [6, 4] {
        var reader = try await open(gateway, path + "?after_sequence=\(after)")
        let end = try #require(try await reader.rest().last)
        #expect(end.data == #"{"missionId":"m","lastSequence":"6"}"#)
        try await SocketClient.with(port: gateway.port) { socket in
          try await socket.send(SocketFeedTests.subscribe("a", #""missionId":"m","afterSequence":"\#(after)""#))
          #expect(try await socket.messages(until: "end").last?.lastSequence == "6")
        }
        let told = try await refusals(gateway, path + "?after_sequence=7", #""missionId":"m","afterSequence":"7""#)
        #expect(told.allSatisfy { $0.contains("its last one is 6") })
      }
    }
  }

  /// Another way told the client of an event before this feed got it: it waits, and gets what comes after that.
  @Test(arguments: [true, false]) func whoIsAheadOfTheFeedWaitsForIt(_ overSocket: Bool) async throws {
    let log = LaggingLog(total: 6, stored: 5, shown: 3)
    try await withGateway(Backend(progress: log.progress)) { gateway in
      var first = try await open(gateway, path)
      for number in 1...3 { #expect(try await first.next()?.id == "\(number)") }
      #expect(log.listed == 0)
      if overSocket {
        try await SocketClient.with(port: gateway.port) { socket in
          try await socket.send(SocketFeedTests.subscribe("a", #""missionId":"m","afterSequence":"5""#))
          try await eventually("it has asked") { log.listed == 1 }
          log.show(5)
          log.show(6)
          let messages = try await socket.messages(until: "end")
          #expect(messages.map(\.op) == ["subscribed", "event", "end"])
          #expect(messages.compactMap(\.sequence) == ["6"])
        }
      } else {
        var second = try await open(gateway, path + "?after_sequence=5")
        try await eventually("it has asked") { log.listed == 1 }
        log.show(5)
        log.show(6)
        #expect(try await second.rest().map(\.id) == expectedIDs(6...6))
      }
      #expect(try await first.rest().map(\.id) == expectedIDs(4...6))
      #expect(log.listed == 1, "it waits without asking again and again")
    }
  }

  @Test func allMissionsHaveNoSuchPosition() async throws {
    let script = AllEventsScript(count: 4)
    try await withGateway(Backend(progress: script.progress)) { gateway in
      for _ in 0..<2 {
        let told = try await refusals(
          gateway, "/api/v1/events?after_position=1000", #""all":true,"afterPosition":"1000""#)
        #expect(told.allSatisfy { $0.contains("OUT_OF_RANGE") && $0.contains("the newest one is 5") })
      }
      var reader = try await open(gateway, "/api/v1/events?after_position=3")
      for position in ["4", "5"] { #expect(try await reader.next()?.id == position) }
      let told = try await refusals(
        gateway, "/api/v1/events?after_position=1000", #""all":true,"afterPosition":"1000""#)
      #expect(told.allSatisfy { $0.contains("the newest one is 5") })
      script.add(1)
      #expect(try await reader.next()?.id == "7")
    }
  }

  /// The watch breaks before its first event: what is stored until the next one is not lost.
  @Test func fromNowOnMeansFromTheFirstWatchOn() async throws {
    let script = AllEventsScript(count: 4, tellsPosition: true)
    let (gate, open) = AsyncStream.makeStream(of: Void.self)
    let opened = Task { for await _ in gate {} }
    let watches = Atomic<Int>(0)
    var backend = Backend(progress: script.progress)
    let behaved = backend.progress.onWatchAll
    backend.progress.onWatchAll = { request, responses in
      guard watches.add(1, ordering: .relaxed).newValue > 1 else {
        await opened.value
        throw Status(.unavailable, "the service is going away")
      }
      try await behaved(request, responses)
    }
    try await withGateway(backend) { gateway in
      try await SocketClient.with(port: gateway.port) { socket in
        try await socket.send(SocketFeedTests.subscribe("all", #""all":true,"fromNow":true"#))
        #expect(try await socket.message()?.op == "subscribed")
        try await eventually("the watch is taken up") { watches.load(ordering: .relaxed) == 1 }
        script.add(2)
        open.finish()
        for position in ["7", "8"] { #expect(try await socket.message()?.position == position) }
        #expect(script.asked.map(\.start) == [.afterPosition(5)])
      }
    }
  }
}

/// One mission's log, whose watch is behind what is stored.
private final class LaggingLog: Sendable {
  private struct State {
    var stored: UInt64
    var shown: UInt64
    var listed = 0
  }

  private let script: EventLogScript
  private let total: UInt64
  private let state: Mutex<State>
  private let news = FeedSignal()

  init(total: UInt64, stored: UInt64, shown: UInt64) {
    script = EventLogScript(mission: "m", count: total)
    self.total = total
    state = Mutex(State(stored: stored, shown: shown))
  }

  /// How many pages were asked for.
  var listed: Int { state.withLock { $0.listed } }

  /// The watch goes on up to `number`, which is stored.
  func show(_ number: UInt64) {
    state.withLock { state in
      state.shown = number
      state.stored = max(state.stored, number)
    }
    news.feedChanged()
  }

  private func check(_ sequence: UInt64) throws -> State {
    let state = state.withLock { $0 }
    guard sequence <= state.stored else { throw Status(.outOfRange, "its last one is \(state.stored)") }
    return state
  }

  var progress: ScriptedProgress {
    var progress = ScriptedProgress()
    progress.onWatch = { request, responses in
      _ = try self.check(request.afterSequence)
      var last = request.afterSequence
      while last < self.total {
        self.news.rearm()
        let shown = self.state.withLock { $0.shown }
        if shown > last {
          try await self.script.write(last + 1...shown, to: responses)
          last = shown
        } else {
          try await self.news.wait()
        }
      }
    }
    progress.onList = { request in
      self.state.withLock { $0.listed += 1 }
      let stored = try self.check(request.afterSequence).stored
      let events = self.script.events.filter { $0.sequence > request.afterSequence && $0.sequence <= stored }
      return ListEventsResponse(events: events, complete: stored == self.total)
    }
    progress.onSnapshot = { ProgressSnapshot(missionId: $0.missionId, lastSequence: self.state.withLock { $0.stored }) }
    return progress
  }
}

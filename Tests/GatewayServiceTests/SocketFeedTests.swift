import Messages
import NIOCore
import RPC
import ServiceKit
import Stubs
import Synchronization
import TestSupport
import Testing

@testable import GatewayService

/// What subscriptions get over a WebSocket, of one mission.
@Suite struct SocketFeedTests {
  static func subscribe(_ id: String, _ rest: String) -> String { #"{"op":"subscribe","id":"\#(id)",\#(rest)}"# }
  static let mission = #""missionId":"m""#

  private func sequences(_ messages: [SocketMessage]) -> [String] { messages.compactMap(\.sequence) }

  @Test func replaysAndEndsAsServerSentEventsDo() async throws {
    let log = EventLogScript(mission: "m", count: 5)
    try await withGateway(Backend(progress: log.progress)) { gateway in
      var reader = EventReader(
        try await gateway.open("GET", "/api/v1/missions/m/events", EventStreamTests.sse))
      let sent = try await reader.rest()
      try await SocketClient.with(port: gateway.port) { socket in
        try await socket.send(Self.subscribe("a\\\"", Self.mission))
        let messages = try await socket.messages(until: "end")
        #expect(messages.map(\.op) == ["subscribed"] + Array(repeating: "event", count: 5) + ["end"])
        #expect(messages.allSatisfy { $0.id == "a\"" })
        #expect(messages.compactMap(\.event) == sent.dropLast().map(\.data))
        #expect(messages.last?.lastSequence == "5")
        // The name is free again.
        try await socket.send(Self.subscribe("a\\\"", Self.mission + #","afterSequence":"3""#))
        #expect(sequences(try await socket.messages(until: "end")) == ["4", "5"])
        try await socket.send(Self.subscribe("b", Self.mission + #","afterSequence":5"#))
        #expect(try await socket.messages(until: "end").map(\.op) == ["subscribed", "end"])
      }
      #expect(log.asked == [0])
    }
  }

  /// One watch of the service for WebSockets and server-sent events alike; all get the same live events.
  @Test func allTransportsShareOneWatch() async throws {
    let log = EventLogScript(mission: "m", count: 4)
    let (gate, open) = AsyncStream.makeStream(of: Void.self)
    let opened = Task { for await _ in gate {} }
    var backend = Backend(progress: log.progress)
    backend.progress.onWatch = { request, responses in
      _ = log.noteWatch(request)
      try await log.write(1...2, to: responses)
      await opened.value
      try await log.write(3...4, to: responses)
    }
    try await withGateway(backend) { gateway in
      try await withThrowingTaskGroup(of: [String].self) { group in
        let (started, start) = AsyncStream.makeStream(of: Void.self)
        for number in 0..<20 {
          group.addTask {
            try await SocketClient.with(port: gateway.port) { socket in
              try await socket.send(Self.subscribe("s\(number % 2)", Self.mission))
              var messages: [SocketMessage] = []
              for _ in 0..<3 { messages += [try await socket.message()].compactMap(\.self) }
              start.yield()
              return (messages + (try await socket.messages(until: "end"))).compactMap(\.event)
            }
          }
        }
        group.addTask {
          var reader = EventReader(try await gateway.open("GET", "/api/v1/missions/m/events", EventStreamTests.sse))
          let first = [try await reader.next(), try await reader.next()].compactMap(\.self)
          start.yield()
          return (first + (try await reader.rest())).dropLast().map(\.data)
        }
        var count = 0
        for await _ in started {
          count += 1
          if count == 21 { break }
        }
        open.finish()
        let expected = try log.events.map { try protoJSON($0) }
        for try await events in group { #expect(events == expected) }
      }
      #expect(log.asked == [0])
    }
  }

  /// What is before the ring comes from the service's pages, the rest from the ring: nothing twice, nothing missing.
  @Test func whoComesLateReadsThePast() async throws {
    let log = EventLogScript(mission: "m", count: 400)
    var backend = Backend(progress: log.progress, configure: { $0.feeds.ring.events = 16 })
    backend.progress.onWatch = { request, responses in
      _ = log.noteWatch(request)
      try await log.write(request.afterSequence + 1...350, to: responses)
      try await Task.sleep(for: .seconds(3600))
    }
    let whole = log.progress.onList
    backend.progress.onList = { request in
      var answer = try await whole(request)
      answer.events.removeAll { $0.sequence > 350 }
      answer.complete = false
      return answer
    }
    try await withGateway(backend) { gateway in
      try await SocketClient.with(port: gateway.port) { first in
        try await first.send(Self.subscribe("a", Self.mission + #","afterSequence":300"#))
        for number in 300...350 {
          let message = try #require(try await first.message())
          #expect(message.sequence == (number == 300 ? nil : "\(number)"))
        }
        try await SocketClient.with(port: gateway.port) { second in
          try await second.send(Self.subscribe("b", Self.mission))
          #expect(try await second.message()?.op == "subscribed")
          for number in 1...350 { #expect(try await second.message()?.sequence == "\(number)") }
        }
      }
      #expect(log.asked == [300])
    }
  }

  /// The progress service dies and comes back; the watcher notices nothing.
  @Test func survivesARestartOfTheProgressService() async throws {
    let log = EventLogScript(mission: "m", count: 6)
    var stuck = log.progress
    stuck.onWatch = { _, responses in
      try await log.write(1...2, to: responses)
      try await Task.sleep(for: .seconds(3600))
    }
    let missions = try await RunningServer { $0.register(ScriptedMissions()) }
    let first = try await RunningServer.onLastingPort { [stuck] in $0.register(stuck) }
    try await withGateway(ports: [.execution: missions.port, .progress: first.port]) { gateway in
      try await SocketClient.with(port: gateway.port) { socket in
        try await socket.send(Self.subscribe("a", Self.mission))
        for _ in 0..<3 { _ = try await socket.message() }
        await first.server.shutdown(grace: .zero)
        let second = try await RunningServer(port: first.port) { $0.register(log.progress) }
        #expect(sequences(try await socket.messages(until: "end")) == ["3", "4", "5", "6"])
        await second.server.shutdown(grace: .zero)
      }
    }
    await missions.server.shutdown(grace: .zero)
  }

  @Test func unknownMissionsAndWhatIsNotKeptAnyMore() async throws {
    var backend = Backend()
    backend.missions.onGet = { request in
      guard request.id == "m" else { throw Status(.notFound, "there is no mission \(request.id)") }
      return Mission(id: "m")
    }
    backend.progress.onWatch = { _, _ in throw Status(.outOfRange, "events up to 40 are not kept any more") }
    backend.progress.onList = { _ in throw Status(.outOfRange, "events up to 40 are not kept any more") }
    backend.progress.onSnapshot = { ProgressSnapshot(missionId: $0.missionId, lastSequence: 57, firstSequence: 41) }
    try await withGateway(backend) { gateway in
      try await SocketClient.with(port: gateway.port) { socket in
        try await socket.send(Self.subscribe("x", #""missionId":"unheard""#))
        let unknown = try #require(try await socket.message())
        #expect(unknown.op == "error")
        #expect(unknown.id == "x")
        #expect(unknown.errorCode == "NOT_FOUND")
        try await socket.send(Self.subscribe("a", Self.mission))
        let refused = try #require(try await socket.messages(until: "error").last)
        #expect(refused.id == "a")
        #expect(refused.errorCode == "OUT_OF_RANGE")
        #expect(refused.errorResumeAfter == "57")
      }
      var reader = EventReader(try await gateway.open("GET", "/api/v1/missions/m/events", EventStreamTests.sse))
      let events = try await reader.rest()
      #expect(events.map(\.name) == ["error"])
      #expect(events[0].data.contains(#""resumeAfter":"57""#))
      let polled = try await gateway.get("/api/v1/missions/m/events")
      #expect(polled.status == 400)
      #expect(polled.errorCode == "OUT_OF_RANGE")
      #expect(polled.text.contains(#""resumeAfter":"57""#))
    }
  }

  @Test func subscriptionsAreNamedOnceLimitedAndEnded() async throws {
    let log = EventLogScript(mission: "m", count: 3)
    var backend = Backend(configure: { $0.sockets.maximumSubscriptions = 2 })
    backend.progress.onWatch = { _, responses in
      try await log.write(1...2, to: responses)
      try await Task.sleep(for: .seconds(3600))
    }
    try await withGateway(backend) { gateway in
      try await SocketClient.with(port: gateway.port) { socket in
        for id in ["a", "b"] {
          try await socket.send(Self.subscribe(id, Self.mission))
          #expect(try await socket.message()?.op == "subscribed")
          for number in 1...2 { #expect(try await socket.message()?.sequence == "\(number)") }
        }
        #expect(await gateway.metrics.exposition().contains("buddy_http_event_streams 2"))
        try await socket.send(Self.subscribe("b", Self.mission))
        let twice = try #require(try await socket.message())
        #expect(twice.errorCode == "ALREADY_EXISTS")
        #expect(twice.id == nil)
        try await socket.send(Self.subscribe("c", Self.mission))
        let third = try #require(try await socket.message())
        #expect(third.errorCode == "RESOURCE_EXHAUSTED")
        #expect(third.id == "c")
        try await socket.send(#"{"op":"unsubscribe","id":"a"}"#)
        try await socket.send(#"{"op":"unsubscribe","id":"never there"}"#)
        try await socket.send(Self.subscribe("c", Self.mission + #","afterSequence":1"#))
        #expect(try await socket.message()?.op == "subscribed")
        #expect(try await socket.message()?.sequence == "2")
      }
      try await eventually("no stream is open") {
        await gateway.metrics.exposition().contains("buddy_http_event_streams 0")
      }
    }
  }
}

/// What watchers of all missions get, over WebSocket and as server-sent events; and watchers who do not read.
@Suite struct SocketAllTests {
  private func subscribe(_ rest: String) -> String { SocketFeedTests.subscribe("all", #""all":true,\#(rest)"#) }

  @Test func allMissionsFromAPositionOn() async throws {
    let script = AllEventsScript(count: 250)
    try await withGateway(Backend(progress: script.progress)) { gateway in
      var reader = EventReader(try await gateway.open("GET", "/api/v1/events?after_position=7", EventStreamTests.sse))
      var sent: [SentEvent] = []
      for _ in 0..<245 { sent += [try await reader.next()].compactMap(\.self) }
      #expect(sent.map(\.id) == script.positions.dropFirst(5).map { $0 })
      let positions = sent.map(\.id)
      let data = sent.map(\.data)
      try await SocketClient.with(port: gateway.port) { socket in
        try await socket.send(subscribe(#""afterPosition":"7""#))
        #expect(try await socket.message()?.op == "subscribed")
        for (position, event) in zip(positions, data) {
          let message = try #require(try await socket.message())
          #expect(message.position == position)
          #expect(message.event == event)
        }
        script.add(1)
        #expect(try await socket.message()?.position == script.positions.last)
      }
      #expect(try await reader.next()?.id == script.positions.last)
      #expect(script.asked.map(\.start) == [.afterPosition(7)])
    }
  }

  @Test func fromNowOn() async throws {
    let script = AllEventsScript(count: 10)
    try await withGateway(Backend(progress: script.progress)) { gateway in
      try await SocketClient.with(port: gateway.port) { socket in
        try await socket.send(
          subscribe(#""fromNow":true,"owner":"ada","labels":{"team":"x"},"states":["running","PAUSED"],"recipe":"r""#))
        #expect(try await socket.message()?.op == "subscribed")
        try await eventually("the watch is taken up") { script.asked.count == 1 }
        script.add(2)
        for position in script.positions.suffix(2) { #expect(try await socket.message()?.position == position) }
        let filter = EventFilter(owner: "ada", labels: ["team": "x"], states: [.running, .paused], recipe: "r")
        #expect(script.asked == [WatchAllEventsRequest(filter: filter, start: .fromNow(true))])
        // Who wants the past of the same reads it, and joins.
        var reader = EventReader(
          try await gateway.open(
            "GET", "/api/v1/events?owner=ada&label=team:x&state=paused,running&recipe=r", EventStreamTests.sse))
        for position in script.positions { #expect(try await reader.next()?.id == position) }
        script.add(1)
        #expect(try await reader.next()?.id == script.positions.last)
        #expect(try await socket.message()?.position == script.positions.last)
        #expect(script.asked.count == 1)
      }
    }
  }

  /// Pages with few events or none are not taken for the end while they still get further.
  @Test(arguments: [UInt64(1), 4]) func pagesThatAnswerEarlyAreNotTheEnd(_ lookedAt: UInt64) async throws {
    let script = AllEventsScript(count: 12, lookedAt: lookedAt)
    try await withGateway(Backend(progress: script.progress)) { gateway in
      try await SocketClient.with(port: gateway.port) { live in
        try await live.send(subscribe(#""fromNow":true"#))
        #expect(try await live.message()?.op == "subscribed")
        try await eventually("the watch is taken up") { script.asked.count == 1 }
        // The feed has seen no event: what is before it only pages tell.
        var reader = EventReader(try await gateway.open("GET", "/api/v1/events", EventStreamTests.sse))
        for position in script.positions { #expect(try await reader.next()?.id == position) }
        try await SocketClient.with(port: gateway.port) { late in
          try await late.send(subscribe(#""afterPosition":"2""#))
          #expect(try await late.message()?.op == "subscribed")
          for position in script.positions.dropFirst(2) { #expect(try await late.message()?.position == position) }
          script.add(1)
          #expect(try await late.message()?.position == script.positions.last)
        }
        #expect(try await reader.next()?.id == script.positions.last)
        #expect(try await live.message()?.position == script.positions.last)
        #expect(script.asked.count == 1)
      }
    }
  }

  /// Who resumes before what was deleted is told so, on every transport, and gets all that is kept.
  @Test func whatIsNotKeptAnyMoreIsSaid() async throws {
    let script = AllEventsScript(count: 6, pruned: 5)
    try await withGateway(Backend(progress: script.progress)) { gateway in
      let rest = script.positions.dropFirst(2)
      try await SocketClient.with(port: gateway.port) { socket in
        try await socket.send(subscribe(#""afterPosition":"2""#))
        #expect(try await socket.message()?.op == "subscribed")
        #expect(try await socket.text() == #"{"op":"gap","id":"all","resumeAfter":"2","prunedThrough":"5"}"#)
        for position in rest { #expect(try await socket.message()?.position == position) }
      }
      var reader = EventReader(try await gateway.open("GET", "/api/v1/events?after_position=2", EventStreamTests.sse))
      let gap = try #require(try await reader.next())
      #expect(gap.name == "gap")
      #expect(gap.id == "2")
      #expect(gap.data == #"{"resumeAfter":"2","prunedThrough":"5"}"#)
      for position in rest { #expect(try await reader.next()?.id == position) }
      let poll = try await gateway.get("/api/v1/events?after_position=2")
      #expect(try ProtoJSON.decode(ListAllEventsResponse.self, from: poll.text).prunedPosition == 5)
      for start in [0, 5] {
        var whole = EventReader(
          try await gateway.open("GET", "/api/v1/events?after_position=\(start)", EventStreamTests.sse))
        #expect(try await whole.next()?.name == "step_progress", "nothing is missing after \(start)")
      }
    }
  }

  @Test func pollingAll() async throws {
    let script = AllEventsScript(count: 5)
    try await withGateway(Backend(progress: script.progress)) { gateway in
      let answer = try await gateway.get("/api/v1/events?after_position=2&limit=2")
      let page = try ProtoJSON.decode(ListAllEventsResponse.self, from: answer.text)
      #expect(page.events.map { "\($0.position)" } == Array(script.positions[2...3]))
      #expect(try await gateway.get("/api/v1/events?wait=1&after_position=1").status == 200)
      for query in [
        "from_now=true", "from_now=1", "after_position=-1", "label=x", "state=HAPPY", "after=1", "wait=61",
      ] {
        #expect(try await gateway.get("/api/v1/events?\(query)").status == 400, "\(query)")
      }
      let contradiction = "/api/v1/events?from_now=true&after_position=1"
      #expect(try await gateway.get(contradiction, EventStreamTests.sse).status == 400)
    }
  }

  /// One watcher does not read while more comes than its connection and the ring hold: the other gets everything at
  /// once, and it gets a gap once it reads, and goes on after that.
  @Test func aWatcherThatDoesNotReadGetsAGap() async throws {
    let script = AllEventsScript(size: 4000)
    let backend = Backend(
      progress: script.progress,
      configure: {
        $0.feeds.ring = .init(events: 128, bytes: 1 << 20)
        $0.sockets.watcherBytes = 64 << 10
        $0.heartbeat = .seconds(600)
      })
    let total: UInt64 = 10_000
    try await withGateway(backend) { gateway in
      try await SocketClient.with(port: gateway.port) { slow in
        try await slow.send(subscribe(#""fromNow":true"#))
        #expect(try await slow.message()?.op == "subscribed")
        try await SocketClient.with(port: gateway.port) { fast in
          try await fast.send(subscribe(#""fromNow":true"#))
          #expect(try await fast.message()?.op == "subscribed")
          for _ in 0..<total / 100 {
            script.add(100)
            for position in script.positions.suffix(100) { #expect(try await fast.message()?.position == position) }
          }
        }
        // 40 MB were sent to the other; of them this one finds what buffers held, and the ring.
        let positions = script.positions
        var (next, got, gaps) = (0, 0, 0)
        while next < positions.count, let message = try await slow.message() {
          if message.op == "gap" {
            gaps += 1
            let resumed = try #require(positions.firstIndex(of: message.resumeAfter ?? ""))
            #expect(resumed >= next)
            next = resumed + 1
          } else {
            got += 1
            #expect(message.position == positions[next])
            next += 1
          }
        }
        #expect(gaps > 0)
        #expect(got < Int(total) / 2)
      }
    }
  }

  /// The same of one mission: nothing is left out, for what left the ring is stored.
  @Test(arguments: [0, 10]) func aWatcherOfOneMissionMissesNothing(_ coalesceAfter: Int) async throws {
    let total: UInt64 = 10_000
    let message = String(repeating: "x", count: 4000)
    let event = { @Sendable (number: UInt64) in
      ProgressEvent(
        missionId: "m", sequence: number, type: number == total ? .stateChanged : .stepProgress, step: .execution,
        message: message, state: number == total ? .succeeded : .running)
    }
    let listed = Atomic<Int>(0)
    var backend = Backend(configure: {
      $0.feeds.ring = .init(events: 64, bytes: 1 << 20)
      $0.sockets.watcherBytes = 64 << 10
      $0.heartbeat = .seconds(600)
    })
    backend.progress.onWatch = { request, responses in
      for number in request.afterSequence + 1...total { try await responses.write(event(number)) }
    }
    backend.progress.onList = { request in
      listed.add(1, ordering: .relaxed)
      let first = request.afterSequence + 1
      let last = min(total, request.afterSequence + UInt64(request.limit))
      return ListEventsResponse(events: first > last ? [] : (first...last).map(event), complete: last == total)
    }
    try await withGateway(backend) { gateway in
      try await SocketClient.with(port: gateway.port) { slow in
        try await slow.send(
          SocketFeedTests.subscribe("a", SocketFeedTests.mission + #","coalesceAfter":\#(coalesceAfter)"#))
        #expect(try await slow.message()?.op == "subscribed")
        try await SocketClient.with(port: gateway.port) { fast in
          try await fast.send(SocketFeedTests.subscribe("a", SocketFeedTests.mission))
          #expect(try await fast.messages(until: "end").count == Int(total) + 2)
        }
        var next: UInt64 = 1
        var seen = 0
        while let message = try await slow.message(), message.op == "event" {
          next += UInt64(message.coalesced)
          #expect(message.sequence == "\(next)")
          next += 1
          seen += 1
        }
        #expect(next == total + 1)
        #expect(coalesceAfter == 0 ? seen == Int(total) : seen < Int(total) / 2)
      }
      #expect(listed.load(ordering: .relaxed) > 0)
    }
  }
}

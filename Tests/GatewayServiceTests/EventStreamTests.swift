import AsyncHTTPClient
import Foundation
import Messages
import RPC
import ServiceKit
import ServiceLifecycle
import Stubs
import Synchronization
import TestSupport
import Testing

@testable import GatewayService

@Suite struct EventStreamTests {
  static let sse = ["Accept": "text/event-stream"]

  @Test func replaysAndEnds() async throws {
    let log = EventLogScript(mission: "m", count: 5)
    try await withGateway(Backend(progress: log.progress)) { gateway in
      let response = try await gateway.open("GET", "/api/v1/missions/m/events", Self.sse)
      #expect(response.code == 200)
      #expect(response.header("Content-Type") == "text/event-stream")
      #expect(response.header("Cache-Control") == "no-store")
      var reader = EventReader(response)
      let events = try await reader.rest()
      #expect(events.map(\.id) == expectedIDs(1...5))
      #expect(events.map(\.name) == Array(repeating: "step_progress", count: 4) + ["state_changed", "end"])
      let first = try ProtoJSON.decode(ProgressEvent.self, from: events[0].data)
      #expect(first == log.events[0])
      #expect(events[5].data == #"{"missionId":"m","lastSequence":"5"}"#)
      #expect(reader.retry == "1000")
      #expect(log.asked == [0])
    }
  }

  @Test func resumesAfterWhatWasSeen() async throws {
    let log = EventLogScript(mission: "m", count: 5)
    try await withGateway(Backend(progress: log.progress)) { gateway in
      for (query, headers, range) in [
        ("?after_sequence=3", [:], 4...5), ("", ["Last-Event-ID": "2"], 3...5),
        ("?after_sequence=1", ["Last-Event-ID": "4"], 5...5), ("?after_sequence=4", ["Last-Event-ID": ""], 5...5),
      ] as [(String, [String: String], ClosedRange<UInt64>)] {
        let response = try await gateway.open(
          "GET", "/api/v1/missions/m/events\(query)", Self.sse.merging(headers) { $1 })
        var reader = EventReader(response)
        #expect(try await reader.rest().map(\.id) == expectedIDs(range), "\(query) \(headers)")
      }
      // Everything was seen already: only the end is left.
      let response = try await gateway.open("GET", "/api/v1/missions/m/events?after_sequence=5", Self.sse)
      var reader = EventReader(response)
      #expect(try await reader.rest().map(\.name) == ["end"])
      #expect(try await gateway.get("/api/v1/missions/m/events?after_sequence=-1", Self.sse).status == 400)
      let bad = Self.sse.merging(["Last-Event-ID": "x"]) { $1 }
      #expect(try await gateway.get("/api/v1/missions/m/events", bad).status == 400)
    }
  }

  /// The watch dies, repeats, skips, and ends too early; the client sees 1 to 8 once each.
  @Test func mendsWhateverTheServiceDoes() async throws {
    let log = EventLogScript(mission: "m", count: 8)
    var progress = log.progress
    let behaved = progress.onWatch
    progress.onWatch = { request, responses in
      switch log.noteWatch(request) {
      case 0:
        try await log.write(1...3, to: responses)
        throw Status(.unavailable, "the service is going away")
      case 1: try await log.write([2, 3, 4, 4, 5] as [UInt64], to: responses)
      case 2: try await log.write([6, 8] as [UInt64], to: responses)
      case 3: throw Status(.notFound, "no event is known yet")
      case 4: throw Status(.internalError, "out of order")
      default: try await behaved(request, responses)
      }
    }
    try await withGateway(Backend(progress: progress)) { gateway in
      let response = try await gateway.open("GET", "/api/v1/missions/m/events", Self.sse)
      var reader = EventReader(response)
      #expect(try await reader.rest().map(\.id) == expectedIDs(1...8))
      #expect(log.asked.prefix(6) == [0, 3, 5, 6, 6, 6])
    }
  }

  /// The process behind the watch is killed and comes back on the same port.
  @Test func survivesARestartOfTheProgressService() async throws {
    let log = EventLogScript(mission: "m", count: 6)
    var stuck = log.progress
    stuck.onWatch = { request, responses in
      _ = log.noteWatch(request)
      try await log.write(1...2, to: responses)
      try await Task.sleep(for: .seconds(3600))
    }
    let missions = try await RunningServer { $0.register(ScriptedMissions()) }
    let first = try await RunningServer.onLastingPort { [stuck] in $0.register(stuck) }
    try await withGateway(ports: [.execution: missions.port, .progress: first.port]) { gateway in
      let response = try await gateway.open("GET", "/api/v1/missions/m/events", Self.sse)
      var reader = EventReader(response)
      #expect(try await reader.next()?.id == "1")
      #expect(try await reader.next()?.id == "2")
      await first.server.shutdown(grace: .zero)
      let second = try await RunningServer(port: first.port) { $0.register(log.progress) }
      #expect(try await reader.rest().map(\.id) == expectedIDs(3...6))
      await second.server.shutdown(grace: .zero)
    }
    await missions.server.shutdown(grace: .zero)
  }

  @Test func unknownMissionsAre404BeforeAnyByte() async throws {
    var backend = Backend()
    backend.missions.onGet = { throw Status(.notFound, "there is no mission \($0.id)") }
    try await withGateway(backend) { gateway in
      let answer = try await gateway.get("/api/v1/missions/nope/events", Self.sse)
      #expect(answer.status == 404)
      #expect(answer.errorCode == "NOT_FOUND")
      #expect(answer.header("Content-Type") == "application/json")
    }
  }

  @Test func progressVouchesWhileExecutionIsAway() async throws {
    let log = EventLogScript(mission: "m", count: 2)
    try await withGateway(Backend(progress: log.progress, down: [.execution])) { gateway in
      var reader = EventReader(try await gateway.open("GET", "/api/v1/missions/m/events", Self.sse))
      #expect(try await reader.rest().map(\.id) == expectedIDs(1...2))
    }
    try await withGateway(Backend(down: [.execution, .progress])) { gateway in
      let answer = try await gateway.get("/api/v1/missions/m/events", Self.sse)
      #expect(answer.status == 503)
      #expect(answer.errorService == "execution")
    }
  }

  @Test func whatCannotBeMendedIsSaid() async throws {
    var backend = Backend()
    backend.progress.onWatch = { _, _ in throw Status(.permissionDenied, "not yours") }
    try await withGateway(backend) { gateway in
      var reader = EventReader(try await gateway.open("GET", "/api/v1/missions/m/events", Self.sse))
      let events = try await reader.rest()
      #expect(events.map(\.name) == ["error"])
      #expect(events[0].data.contains("PERMISSION_DENIED"))
    }
  }

  @Test func heartbeatsWhileNothingHappens() async throws {
    var backend = Backend(configure: { $0.heartbeat = .milliseconds(20) })
    backend.progress.onWatch = { _, _ in try await Task.sleep(for: .seconds(3600)) }
    try await withGateway(backend) { gateway in
      var reader = EventReader(try await gateway.open("GET", "/api/v1/missions/m/events", Self.sse))
      try await reader.waitForComments(3)
      #expect(reader.comments >= 3)
    }
  }

  @Test func leavingCancelsTheWatch() async throws {
    let (cancelled, signal) = AsyncStream.makeStream(of: Void.self)
    let log = EventLogScript(mission: "m", count: 2)
    var backend = Backend(configure: { $0.feeds.linger = .milliseconds(1) })
    backend.progress.onWatch = { _, responses in
      try await log.write(1...1, to: responses)
      do { try await Task.sleep(for: .seconds(3600)) } catch {
        signal.finish()
        throw error
      }
    }
    try await withGateway(backend) { gateway in
      let text = try await RawConnection(port: gateway.port).exchange(
        "GET /api/v1/missions/m/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"
      ) { $0.contains("id: 1") }
      #expect(text.contains("event: step_progress"))
      for await _ in cancelled {}
    }
  }

  /// The service could send 400 MB; a client that does not read lets only what fits in buffers through.
  @Test func aSlowClientIsBounded() async throws {
    let sent = Atomic<Int>(0)
    let message = String(repeating: "x", count: 4000)
    var backend = Backend()
    backend.progress.onWatch = { _, responses in
      for number in 1...100_000 as ClosedRange<UInt64> {
        try await responses.write(
          ProgressEvent(missionId: "m", sequence: number, type: .stepProgress, message: message, state: .running))
        sent.add(1, ordering: .relaxed)
      }
    }
    try await withGateway(backend) { gateway in
      let response = try await gateway.open("GET", "/api/v1/missions/m/events", Self.sse)
      // Other requests are served meanwhile, and give the stream all the time it could want.
      for _ in 0..<300 { #expect(try await gateway.get("/api/v1/missions/other").status == 200) }
      #expect(sent.load(ordering: .relaxed) < 20_000)
      var reader = EventReader(response)
      for number in 1...2000 { #expect(try await reader.next()?.id == "\(number)") }
    }
  }

  /// All of them share one watch of the service, and short calls are not stuck behind.
  @Test func manyWatchersAtOnce() async throws {
    let watchers = 3 * StreamClients.callsPerClient + 1
    let log = EventLogScript(mission: "m", count: 3)
    let (gate, open) = AsyncStream.makeStream(of: Void.self)
    let opened = Task { for await _ in gate {} }
    var backend = Backend(progress: log.progress, configure: { $0.feeds.linger = .zero })
    backend.progress.onWatch = { request, responses in
      _ = log.noteWatch(request)
      try await log.write(1...2, to: responses)
      await opened.value
      try await log.write(3...3, to: responses)
    }
    try await withGateway(backend) { gateway in
      try await withThrowingTaskGroup(of: [SentEvent].self) { group in
        let (started, start) = AsyncStream.makeStream(of: Void.self)
        for _ in 0..<watchers {
          group.addTask {
            var reader = EventReader(try await gateway.open("GET", "/api/v1/missions/m/events", Self.sse))
            let first = [try await reader.next(), try await reader.next()].compactMap(\.self)
            start.yield()
            return first + (try await reader.rest())
          }
        }
        var count = 0
        for await _ in started {
          count += 1
          if count == watchers { break }
        }
        #expect(log.asked == [0])
        #expect(gateway.upstreams.progressStreams.count == 1)
        #expect(try await gateway.get("/api/v1/missions/m/events").status == 200)
        open.finish()
        for try await events in group { #expect(events.map(\.id) == expectedIDs(1...3)) }
      }
    }
  }

  /// More missions than calls fit on one connection.
  @Test func manyMissionsAtOnce() async throws {
    let missions = 2 * StreamClients.callsPerClient + 1
    let (gate, open) = AsyncStream.makeStream(of: Void.self)
    let opened = Task { for await _ in gate {} }
    var backend = Backend(configure: { $0.feeds.linger = .zero })
    backend.progress.onWatch = { request, responses in
      let log = EventLogScript(mission: request.missionId, count: 2)
      try await log.write(1...1, to: responses)
      await opened.value
      try await log.write(2...2, to: responses)
    }
    try await withGateway(backend) { gateway in
      try await withThrowingTaskGroup(of: [SentEvent].self) { group in
        let (started, start) = AsyncStream.makeStream(of: Void.self)
        for number in 0..<missions {
          group.addTask {
            var reader = EventReader(try await gateway.open("GET", "/api/v1/missions/m\(number)/events", Self.sse))
            let first = [try await reader.next()].compactMap(\.self)
            start.yield()
            return first + (try await reader.rest())
          }
        }
        var count = 0
        for await _ in started {
          count += 1
          if count == missions { break }
        }
        #expect(gateway.upstreams.progressStreams.count == 3)
        open.finish()
        for try await events in group { #expect(events.map(\.id) == expectedIDs(1...2)) }
      }
      try await eventually("the connections are given back") { gateway.upstreams.progressStreams.count == 1 }
    }
  }

  @Test func stoppingEndsStreamsWithoutEnd() async throws {
    let log = EventLogScript(mission: "m", count: 3)
    var backend = Backend()
    backend.progress.onWatch = { _, responses in
      try await log.write(1...2, to: responses)
      try await Task.sleep(for: .seconds(3600))
    }
    try await withGateway(backend) { gateway in
      var reader = EventReader(try await gateway.open("GET", "/api/v1/missions/m/events", Self.sse))
      #expect(try await reader.next()?.id == "1")
      #expect(try await reader.next()?.id == "2")
      await gateway.group.triggerGracefulShutdown()
      #expect(try await reader.next() == nil)
    }
  }
}

/// One gRPC server of a test that restarts it.
struct RunningServer {
  let server: Server
  let port: Int

  init(port: Int = 0, _ register: (inout Router) -> Void) async throws {
    var router = Router()
    register(&router)
    server = Server(router: router)
    self.port = try await server.start(host: "127.0.0.1", port: port).port
  }

  /// On a port that the system gives to nobody by itself, so that it is still free for the restart.
  static func onLastingPort(_ register: (inout Router) -> Void) async throws -> RunningServer {
    while true {
      do {
        return try await RunningServer(port: Int.random(in: 20_000..<32_000), register)
      } catch let error as BindError where error.isInUse {
        continue
      }
    }
  }
}

import Messages
import RPC
import ServiceKit
import ServiceLifecycle
import Synchronization
import TestSupport
import Testing

@testable import GatewayService

@Suite struct LongPollTests {
  @Test func listsWhatIsStored() async throws {
    let log = EventLogScript(mission: "m", count: 5)
    try await withGateway(Backend(progress: log.progress)) { gateway in
      let part = try await gateway.get("/api/v1/missions/m/events?after_sequence=1&limit=2")
      #expect(part.status == 200)
      let first = try ProtoJSON.decode(ListEventsResponse.self, from: part.text)
      #expect(first.events == Array(log.events[1...2]))
      #expect(!first.complete)
      let rest = try await gateway.get("/api/v1/missions/m/events?after_sequence=3", ["Accept": "application/json"])
      #expect(rest.json["complete"] as? Bool == true)
    }
  }

  @Test func passesTheWaitOn() async throws {
    var backend = Backend()
    backend.progress.onList = { request in
      ListEventsResponse(events: [ProgressEvent(message: "\(request.wait?.duration ?? .zero > .seconds(59))")])
    }
    try await withGateway(backend) { (gateway) async throws in
      #expect(try await gateway.get("/api/v1/missions/m/events?wait=60").text.contains(#""message":"true""#))
      #expect(try await gateway.get("/api/v1/missions/m/events?wait=0").text.contains(#""message":"false""#))
    }
  }

  @Test(arguments: [
    "wait=61", "wait=-1", "wait=1.5", "wait=soon", "limit=0", "limit=1001", "after_sequence=-1",
    "after_sequence=18446744073709551616",
  ])
  func badNumbersAreRefused(_ query: String) async throws {
    try await withGateway { gateway in
      let answer = try await gateway.get("/api/v1/missions/m/events?\(query)")
      #expect(answer.status == 400)
      #expect(answer.errorCode == "INVALID_ARGUMENT")
    }
  }

  /// Execution took the mission a moment ago; progress hears of it at the third question.
  @Test func waitsForAMissionThatProgressDoesNotKnowYet() async throws {
    let asked = Atomic<Int>(0)
    var backend = Backend()
    backend.progress.onList = { _ in
      guard asked.add(1, ordering: .relaxed).newValue >= 3 else { throw Status(.notFound, "no event is known") }
      return ListEventsResponse(events: [ProgressEvent(sequence: 1)])
    }
    try await withGateway(backend) { gateway in
      let answer = try await gateway.get("/api/v1/missions/m/events?wait=60")
      #expect(answer.text.contains(#""sequence":"1""#))
      #expect(asked.load(ordering: .relaxed) == 3)
    }
  }

  @Test func withoutAWaitAnUnheardOfMissionHasNoEvents() async throws {
    var backend = Backend()
    backend.progress.onList = { _ in throw Status(.notFound, "no event is known") }
    try await withGateway(backend) { gateway in
      let answer = try await gateway.get("/api/v1/missions/m/events")
      #expect(answer.status == 200)
      #expect((answer.json["events"] as? [Any])?.isEmpty == true)
    }
  }

  @Test func unknownMissionsAre404() async throws {
    var backend = Backend()
    backend.missions.onGet = { _ in throw Status(.notFound, "there is no such mission") }
    backend.progress.onList = { _ in throw Status(.notFound, "no event is known") }
    backend.progress.onSnapshot = { _ in throw Status(.notFound, "no event is known") }
    try await withGateway(backend) { (gateway) async throws in
      #expect(try await gateway.get("/api/v1/missions/m/events?wait=60").status == 404)
      #expect(try await gateway.get("/api/v1/missions/m/progress").errorMessage == "there is no such mission")
    }
  }

  @Test func theSnapshotFallsBackOnExecution() async throws {
    var backend = Backend()
    backend.missions.onGet = { Mission(id: $0.id, state: .approved, percent: 0) }
    backend.progress.onSnapshot = { request in
      guard request.missionId == "known" else { throw Status(.notFound, "no event is known") }
      return ProgressSnapshot(missionId: "known", state: .running, percent: 40, lastSequence: 7)
    }
    try await withGateway(backend) { gateway in
      #expect(try await gateway.get("/api/v1/missions/known/progress").json["percent"] as? Double == 40)
      let fresh = try await gateway.get("/api/v1/missions/fresh/progress")
      #expect(fresh.json["state"] as? String == "MISSION_STATE_APPROVED")
      #expect(fresh.json["lastSequence"] as? String == "0")
    }
  }

  @Test func aClientThatLeavesEndsTheQuestion() async throws {
    let (asked, signal) = AsyncStream.makeStream(of: Void.self)
    let isCancelled = Atomic<Bool>(false)
    var backend = Backend()
    backend.progress.onList = { _ in
      signal.finish()
      do { try await Task.sleep(for: .seconds(3600)) } catch { isCancelled.store(true, ordering: .relaxed) }
      throw unscripted
    }
    try await withGateway(backend) { gateway in
      try await RawConnection(port: gateway.port).send(
        "GET /api/v1/missions/m/events?wait=60 HTTP/1.1\r\nHost: localhost\r\n\r\n"
      ) { for await _ in asked {} }
      try await eventually("the call is cancelled") { isCancelled.load(ordering: .relaxed) }
    }
  }

  @Test func stoppingAnswersWhatWaits() async throws {
    let (asked, signal) = AsyncStream.makeStream(of: Void.self)
    var backend = Backend()
    backend.progress.onList = { _ in
      signal.finish()
      try await Task.sleep(for: .seconds(3600))
      throw unscripted
    }
    try await withGateway(backend) { (gateway) async throws in
      async let answer = gateway.get("/api/v1/missions/m/events?wait=60")
      for await _ in asked {}
      await gateway.group.triggerGracefulShutdown()
      #expect(try await answer.json["complete"] as? Bool == false)
    }
  }
}

import Foundation
import Messages
import RPC
import ServiceTestSupport
import Storage
import TestSupport
import Testing

@testable import ExecutionService

/// A store with missions, and what leaves it.
private struct Fixture {
  let place: TestStore
  let store: MissionStore
  let rules = SubmissionRules(
    toolNames: ["calculate"], currency: "USD", defaultBudget: 1_000, autoApproveLimit: 1_000)

  init(_ engine: TestEngine) async throws {
    place = try await TestStore(engine)
    store = MissionStore(database: try await place.open(migrations))
  }

  func submit(_ request: SubmitMissionRequest = SubmitMissionRequest(objective: "1 + 1")) async throws -> Mission {
    let (mission, effects) = try rules.mission(from: request, now: Date())
    return try await store.insert(mission, effects: effects, from: request)
  }

  @discardableResult
  func take(
    _ command: MissionCommand, _ id: String, version: Int64 = 0, requestID: String = "", body: String = "",
    _ transition: Transition
  ) async throws -> CommandReply {
    try await store.command(
      command, of: id, expectedVersion: version, requestID: requestID, request: Array(body.utf8)
    ) { _ in transition }
  }

  /// The events of a mission in the order in which they leave.
  func events(_ id: String) async throws -> [ProgressEvent] {
    let rows = try await store.database.read { connection in
      try connection.rows(
        "SELECT topic, payload FROM outbox WHERE topic IN ('progress', 'events') AND key = $1 ORDER BY id", id
      ).map { (topic: try $0.text("topic"), payload: try $0.blob("payload")) }
    }
    return try rows.flatMap { row in
      row.topic == "events"
        ? try RecordEventsRequest(wire: row.payload).events : [try ProgressEvent(wire: row.payload)]
    }
  }

  /// The columns `deadline_us` (0 if it is NULL), `stop_wanted` and `priority`.
  func columns(_ id: String) async throws -> [Int64] {
    try await store.database.read { connection in
      let row = try #require(
        try connection.first(
          "SELECT coalesce(deadline_us, 0) AS deadline, stop_wanted, priority FROM missions WHERE id = $1", id))
      return [try row.int64("deadline"), try row.int64("stop_wanted"), try row.int64("priority")]
    }
  }
}

@Suite(.timeLimit(.minutes(2))) struct CommandStoreTests {
  private let eva = By(actor: "eva")

  @Test(arguments: TestEngine.allCases) func aRequestIdIsTakenOnce(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    defer { withExtendedLifetime(fixture.place) {} }
    let mission = try await fixture.submit()
    let pause = Transition.pause(By(actor: "eva", requestID: "r"), isInterruptible: true)
    let first = try await fixture.take(.pause, mission.id, version: mission.version, requestID: "r", body: "b", pause)
    #expect(first.mission.state == .paused && first.mission.changes.last?.requestId == "r")
    _ = try await fixture.take(.resume, mission.id, requestID: "s", .resume(eva))
    let events = try await fixture.events(mission.id)
    for _ in 0..<2 {
      let again = try await fixture.take(.pause, mission.id, version: mission.version, requestID: "r", body: "b", pause)
      #expect(again.mission == first.mission && !again.mustStop, "the first answer, although it was resumed since")
    }
    #expect(try await fixture.events(mission.id) == events)
    for (command, body) in [(MissionCommand.pause, "c"), (.cancel, "b")] {
      await #expect { try await fixture.take(command, mission.id, requestID: "r", body: body, .cancel(eva)) } throws: {
        let status = $0 as? Status
        return status?.code == .alreadyExists && status?.message.contains("\"r\"") == true
      }
    }
    #expect(try await fixture.store.mission(mission.id).state == .approved)
    let other = try await fixture.submit()
    #expect(try await fixture.take(.pause, other.id, requestID: "r", body: "b", pause).mission.state == .paused)
    await fixture.store.database.close()
  }

  @Test(arguments: TestEngine.allCases) func aRefusedCommandLeavesItsRequestIdFree(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    defer { withExtendedLifetime(fixture.place) {} }
    let mission = try await fixture.submit()
    let cancel = Transition.cancel(By(actor: "eva", requestID: "r"))
    await #expect { try await fixture.take(.cancel, mission.id, version: 7, requestID: "r", cancel) } throws: {
      ($0 as? Status)?.code == .aborted
    }
    await #expect { try await fixture.take(.cancel, "nobody", requestID: "r", cancel) } throws: {
      ($0 as? Status)?.code == .notFound
    }
    #expect(try await fixture.take(.cancel, mission.id, requestID: "r", cancel).mission.state == .cancelled)
    await fixture.store.database.close()
  }

  @Test(arguments: TestEngine.allCases) func theColumnsFollowTheMission(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    defer { withExtendedLifetime(fixture.place) {} }
    let store = fixture.store
    let deadline = Date(timeIntervalSince1970: 4_000_000_000)
    let id = try await fixture.submit(
      SubmitMissionRequest(objective: "1 + 1", deadline: GoogleProtobufTimestamp(deadline))
    ).id
    #expect(try await fixture.columns(id) == [4_000_000_000_000_000, 0, 0])
    try await store.change(id, [.begin(.verification)])
    let busy = try await fixture.take(.pause, id, .pause(eva, isInterruptible: false))
    #expect(!busy.mustStop)
    #expect(try await fixture.columns(id)[1] == 0, "it waits for the end of the step")
    try await fixture.take(.resume, id, .resume(eva))

    let change = Modification(objective: "2 + 2", removesDeadline: true, priority: 9)
    try await store.change(id, [.complete(.verification, message: ""), .begin(.intent)])
    let modified = try await fixture.take(.modify, id, .modify(eva, change, isInterruptible: true))
    #expect(modified.mustStop, "what is made stale has stopped when the command is answered")
    #expect(try await fixture.columns(id) == [0, 1, 9])
    await #expect { try await store.change(id, [.complete(.intent, message: "late")]) } throws: {
      ($0 as? Status)?.code == .failedPrecondition
    }
    try await store.change(id, [.begin(.intent)])
    #expect(try await fixture.columns(id)[1] == 0)

    let paused = try await fixture.take(.pause, id, .pause(eva, isInterruptible: true))
    #expect(paused.mustStop)
    #expect(try await fixture.columns(id)[1] == 1)
    let again = Modification(deadline: GoogleProtobufTimestamp(deadline))
    try await fixture.take(.modify, id, .modify(eva, again, isInterruptible: true))
    #expect(try await fixture.columns(id)[0] == 4_000_000_000_000_000)
    #expect(try await fixture.take(.cancel, id, .cancel(eva)).mustStop)
    #expect(try await fixture.columns(id)[0] == 0, "what has ended has no deadline to keep")
    await fixture.store.database.close()
  }

  @Test(arguments: TestEngine.allCases) func listsByRecipe(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    defer { withExtendedLifetime(fixture.place) {} }
    var ids: [String] = []
    for recipe in ["a", "b", "a", ""] {
      let request = SubmitMissionRequest(objective: "1 + 1", recipe: recipe, recipeVersion: "v1", parentId: "p")
      ids.append(try await fixture.submit(request).id)
    }
    let found = try await fixture.store.list(states: [], owner: "", recipe: "a", before: "", limit: 10)
    #expect(found.map(\.id) == [ids[2], ids[0]])
    #expect(found.allSatisfy { $0.recipe == "a" && $0.recipeVersion == "v1" && $0.parentId == "p" })
    let page = try await fixture.store.list(states: [.approved], owner: "", recipe: "a", before: ids[2], limit: 1)
    #expect(page.map(\.id) == [ids[0]])
    #expect(try await fixture.store.list(states: [], owner: "", before: "", limit: 10).count == 4)
    await fixture.store.database.close()
  }

  // MARK: - Any sequence

  /// Random commands, repeated and with stale versions, between random steps.
  @Test(arguments: TestEngine.allCases) func everySequenceIsVersionedNumberedAndTakenOnce(
    _ engine: TestEngine
  ) async throws {
    let fixture = try await Fixture(engine)
    defer { withExtendedLifetime(fixture.place) {} }
    var random = SeededRandom()
    let source = TransitionSource(now: Date())
    var (aborted, repeated, taken) = (0, 0, 0)
    for _ in 0..<25 {
      let id = try await fixture.submit().id
      var answers: [(MissionCommand, Transition, String, Int64, Mission)] = []
      for round in 0..<40 {
        let before = try await fixture.store.mission(id)
        guard Bool.random(using: &random) else {
          let step = source.step(before, &random)
          _ = try? await fixture.store.change(id, [step]) { [before] mission in
            if case .complete(let done, _) = step, before.runningStep == done {
              MissionScenarios.found(&mission, by: done)
            }
          }
          continue
        }
        if Int.random(in: 0..<3, using: &random) == 0, let old = answers.randomElement(using: &random) {
          let reply = try await fixture.take(old.0, id, version: old.3, requestID: old.2, body: old.2, old.1)
          #expect(reply.mission == old.4, "the same request, the same answer")
          #expect(try await fixture.store.mission(id) == before, "and nothing happens again")
          repeated += 1
          continue
        }
        let (command, transition) = source.command(before, &random)
        let isStale = Int.random(in: 0..<4, using: &random) == 0
        let version = isStale ? before.version + 1 : before.version
        do {
          let reply = try await fixture.take(
            command, id, version: version, requestID: "r\(round)", body: "r\(round)", transition)
          #expect(!isStale, "a command for another version was taken")
          answers.append((command, transition, "r\(round)", version, reply.mission))
          taken += 1
        } catch let status as Status where isStale {
          #expect(status.code == .aborted)
          aborted += 1
        } catch is Status {
          #expect(try await fixture.store.mission(id) == before)
        }
      }
      try await expectWhole(id, fixture)
    }
    print("\(taken) commands taken, \(repeated) repeated, \(aborted) aborted")
    #expect(aborted > 0 && repeated > 0 && taken > 0)
    await fixture.store.database.close()
  }

  /// What left the store tells the same as the mission.
  private func expectWhole(_ id: String, _ fixture: Fixture) async throws {
    let mission = try await fixture.store.mission(id)
    let events = try await fixture.events(id)
    #expect(events.map(\.sequence) == Array(1...UInt64(events.count)))
    #expect(zip(events, events.dropFirst()).allSatisfy { $0.percent <= $1.percent })
    #expect(events.last?.state == mission.state && events.dropLast().allSatisfy { !$0.isLast })
    #expect(events.first?.facts?.objective == "1 + 1")
    var finished: Set<Step> = []
    for event in events {
      if event.change?.command == .modify { finished.subtract(event.change?.staleSteps ?? []) }
      if event.type == .stepStarted { #expect(!finished.contains(event.step)) }
      if event.type == .stepCompleted { #expect(finished.insert(event.step).inserted) }
    }
    let row = try await fixture.store.database.read { connection in
      try connection.first(
        "SELECT count(*) AS n FROM outbox WHERE topic IN ('investment', 'settlement') AND key = $1", id)
    }
    #expect(try (row?.int("n") ?? 0) <= 1, "one entry of the ledger ends a reservation")
  }

  @Test(arguments: TestEngine.allCases) func theVersionRisesByOneWithEveryChange(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    defer { withExtendedLifetime(fixture.place) {} }
    let id = try await fixture.submit().id
    var version: Int64 = 1
    func took(_ command: MissionCommand, _ transition: Transition, changes: Bool = true) async throws {
      let mission = try await fixture.take(command, id, version: version, transition).mission
      version += changes ? 1 : 0
      #expect(mission.version == version)
    }
    try await took(.pause, .pause(eva, isInterruptible: true))
    try await took(.pause, .pause(eva, isInterruptible: true), changes: false)
    try await took(.modify, .modify(eva, Modification(priority: 1), isInterruptible: true))
    try await took(.modify, .modify(eva, Modification(priority: 1), isInterruptible: true), changes: false)
    try await took(.resume, .resume(eva))
    try await took(.cancel, .cancel(eva))
    try await took(.cancel, .cancel(eva), changes: false)
    await fixture.store.database.close()
  }

  /// Many at once: each version is somebody's.
  @Test(arguments: TestEngine.allCases) func ofCommandsForOneVersionOneIsTaken(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    defer { withExtendedLifetime(fixture.place) {} }
    let mission = try await fixture.submit()
    let taken = try await withThrowingTaskGroup(of: Int.self) { group in
      for number in 1...20 {
        group.addTask {
          let change = Modification(priority: Int32(number))
          do {
            try await fixture.take(
              .modify, mission.id, version: mission.version, .modify(By(actor: "eva"), change, isInterruptible: true))
            return 1
          } catch let status as Status where status.code == .aborted {
            return 0
          }
        }
      }
      return try await group.reduce(0, +)
    }
    #expect(taken == 1)
    #expect(try await fixture.store.mission(mission.id).version == mission.version + 1)
    await fixture.store.database.close()
  }
}

import Messages
import ServiceTestSupport
import Storage
import Testing

@testable import ProgressService

@Suite(.timeLimit(.minutes(1))) struct InboxTests {
  private func event(_ sequence: UInt64, of mission: String = "m", percent: Double = 0) -> ProgressEvent {
    ProgressEvent(missionId: mission, sequence: sequence, percent: percent)
  }

  @Test(arguments: TestEngine.allCases) func deliveredEventsAreLoggedAndAnnounced(_ engine: TestEngine) async throws {
    let store = try await TestStore(engine)
    let log = EventLog(database: try await store.open(migrations), hub: EventHub())
    let service = ProgressService(log: log, unknownMissionWait: .zero)
    try await log.hub.following("m") { follower in
      let receipts = try await deliver(
        [event(1), event(1, of: "n"), event(2), event(2), event(3)], topic: "progress", to: service.inboxTopics,
        of: log.database)
      #expect(receipts.map(\.outcome) == Array(repeating: .taken, count: 5), "an event that is there is passed over")
      // Would wait for ever if nothing had been announced.
      await follower.wait(after: 2)
    }
    #expect(try await log.read("m", after: 0, limit: 10).events.map(\.sequence) == [1, 2, 3])
    #expect(try await log.read("n", after: 0, limit: 10).last == 1)
    await log.database.close()
  }

  @Test(arguments: TestEngine.allCases) func aGapAndWhatIsNoEventAreRefused(_ engine: TestEngine) async throws {
    let store = try await TestStore(engine)
    let log = EventLog(database: try await store.open(migrations), hub: EventHub())
    let service = ProgressService(log: log, unknownMissionWait: .zero)
    let receipts = try await deliver(
      [event(1), event(3), event(2), event(0), event(3, percent: 101), event(1, of: ""), event(2, of: "late")],
      topic: "progress", to: service.inboxTopics, of: log.database)
    #expect(receipts.map(\.outcome) == [.taken, .refused, .taken, .refused, .refused, .refused, .refused])
    #expect(receipts[1].reason.contains("would leave a gap after 1"))
    #expect(receipts[6].reason.contains("would leave a gap after 0"))
    #expect(try await log.read("late", after: 0, limit: 1).last == nil, "what is refused leaves nothing behind")
    await log.database.close()
  }

  @Test(arguments: TestEngine.allCases) func theEventsOfOneChangeAreOneMessage(_ engine: TestEngine) async throws {
    let store = try await TestStore(engine)
    let log = EventLog(database: try await store.open(migrations), hub: EventHub())
    let service = ProgressService(log: log, unknownMissionWait: .zero)
    let messages = [[event(1), event(2)], [event(2), event(3)], [event(4), event(6)], [event(4)]]
    let receipts = try await deliver(
      messages.map { RecordEventsRequest(events: $0) }, topic: "events", to: service.inboxTopics, of: log.database)
    #expect(receipts.map(\.outcome) == [.taken, .taken, .refused, .taken])
    #expect(try await log.read("m", after: 0, limit: 10).events.map(\.sequence) == [1, 2, 3, 4])
    let positions = try await log.read(after: 0, limit: 10).events.map(\.position)
    #expect(positions == [1, 2, 3, 4], "what is refused takes none")
    await log.database.close()
  }
}

import Foundation
import ServiceTestSupport
import Storage
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(2))) struct OutboxTests {
  @Test(arguments: TestEngine.allCases) func aMessageGoesWithItsState(_ engine: TestEngine) async throws {
    struct Refused: Error {}
    let fixture = try await OutboxFixture(engine)
    await #expect(throws: Refused.self) {
      try await fixture.database.write { connection in
        try connection.execute("INSERT INTO item (id, name) VALUES (1, 'x')")
        try Outbox.add(topic: "t", key: "x", payload: [], in: connection)
        throw Refused()
      }
    }
    #expect(try await fixture.waiting() == 0)
    await fixture.database.close()
  }

  @Test(arguments: TestEngine.allCases) func everyMessageHasAnIdOfItsOwn(_ engine: TestEngine) async throws {
    let fixture = try await OutboxFixture(engine)
    let before = Date()
    try await fixture.add((1...300).map { "k\($0)" })
    let rows = try await fixture.database.read {
      try $0.all(OutboxRow.self, "SELECT * FROM outbox ORDER BY id")
    }
    #expect(Set(rows.map(\.messageID)).count == 300)
    #expect(rows.allSatisfy { $0.messageID.firstMatch(of: #/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab]/#) != nil })
    let time = try #require(rows.first.flatMap { UInt64($0.messageID.replacing("-", with: "").prefix(12), radix: 16) })
    let milliseconds = UInt64(before.timeIntervalSince1970 * 1_000)
    #expect((milliseconds...(milliseconds + 60_000)).contains(time))
    #expect(rows.allSatisfy { $0.traceParent.isEmpty })
    await fixture.database.close()
  }

  @Test(arguments: TestEngine.allCases) func statisticsTellWaitingFromRefused(_ engine: TestEngine) async throws {
    let fixture = try await OutboxFixture(engine)
    #expect(try await fixture.database.read { try Outbox.statistics(in: $0) }.isEmpty)
    let before = Date(timeIntervalSinceNow: -1)
    try await fixture.add(["a", "b", "bad"], topic: "one")
    try await fixture.add(["bad"], topic: "two")
    let receiver = ScriptedReceiver { row, _ in row.key == "bad" ? .refuse("no") : .take }
    try await fixture.relaying(fixture.relay(receiver, topics: ["one", "two"])) {
      try await eventually("refused") { try await fixture.refused().count == 2 }
    }
    try await fixture.add(["c"], topic: "one")
    let statistics = try await fixture.database.read { try Outbox.statistics(in: $0) }
    #expect(statistics.map(\.topic) == ["one", "two"])
    #expect(statistics.map(\.waiting) == [1, 0])
    #expect(statistics.map(\.refused) == [1, 1])
    #expect(try #require(statistics[0].oldest) > before && statistics[1].oldest == nil)
    await fixture.database.close()
  }

  @Test(arguments: TestEngine.allCases) func rowsOfTheFirstSchemaSurviveTheSecond(_ engine: TestEngine) async throws {
    let store = try await TestStore(engine)
    let old = try await store.open(Array(OutboxFixture.migrations.prefix(1)))
    try await old.write { connection in
      for key in ["a", "b"] {
        try connection.execute(
          "INSERT INTO outbox (topic, key, payload, created_us) VALUES ('t', $1, $2, $3)", key, Array(key.utf8), Date())
      }
    }
    await old.close()
    let new = try await store.open(OutboxFixture.migrations)
    try await OutboxFixture.add(["c"], to: new)
    let receiver = ScriptedReceiver()
    let relay = OutboxRelay(new, destination: "test", topics: ["t"], transport: receiver)
    let task = Task { await relay.run() }
    try await eventually("delivered") { receiver.seen.taken == ["a", "b", "c"] }
    #expect(receiver.seen.rows.map { String(decoding: $0.payload, as: UTF8.self) } == ["a", "b", "c"])
    task.cancel()
    await task.value
    await new.close()
  }

  @Test(arguments: TestEngine.allCases) func aRefusedMessageIsRetriedBehindTheOthersOrDropped(
    _ engine: TestEngine
  ) async throws {
    let fixture = try await OutboxFixture(engine)
    try await fixture.add(["a", "b", "c"])
    let refusing = ScriptedReceiver { row, _ in .refuse("not \(row.key)") }
    try await fixture.relaying(fixture.relay(refusing)) {
      try await eventually("all refused") { try await fixture.refused().count == 3 }
    }
    let refused = try await fixture.refused()
    #expect(refused.map(\.key) == ["a", "b", "c"] && refused.map(\.reason) == ["not a", "not b", "not c"])
    #expect(refused.allSatisfy { $0.payloadSize == 1 && $0.refused >= $0.created })
    let page = try await fixture.database.read { try Outbox.refused(after: refused[0].id, limit: 1, in: $0) }
    #expect(page == [refused[1]])

    let receiver = ScriptedReceiver()
    try await fixture.relaying(fixture.relay(receiver)) {
      try await fixture.add(["d"])
      try await eventually("a later one is delivered") { receiver.seen.taken == ["d"] }
      let retried = try await fixture.database.write { try Outbox.retry(refused[1].messageID, in: $0) }
      #expect(retried == refused[1])
      try await eventually("the retried one is delivered") { receiver.seen.taken == ["d", "b"] }
    }
    #expect(receiver.seen.rows.last?.messageID == refused[1].messageID)
    let dropped = try await fixture.database.write { try Outbox.drop(refused[0].messageID, in: $0) }
    #expect(dropped == refused[0])
    for id in [refused[0].messageID, refused[1].messageID, "nobody"] {
      #expect(try await fixture.database.write { try Outbox.retry(id, in: $0) } == nil)
      #expect(try await fixture.database.write { try Outbox.drop(id, in: $0) } == nil)
    }
    #expect(try await fixture.refused().map(\.key) == ["c"])
    await fixture.database.close()
  }

  @Test func pausesGrowToTheirLimit() {
    let backoff = Backoff(first: .milliseconds(50), limit: .seconds(5))
    for failures in 1...100 {
      let full = min(.milliseconds(50) * (1 << min(failures - 1, 20)), .seconds(5))
      let delay = backoff.delay(afterFailures: failures)
      #expect(delay >= full * 0.5 && delay <= full)
    }
  }
}

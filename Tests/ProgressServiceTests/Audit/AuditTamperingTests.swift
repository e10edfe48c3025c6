import Foundation
import Messages
import ServiceTestSupport
import Storage
import Testing

@testable import ProgressService

/// What somebody with a database's password can do to the log, and what a check says of it.
@Suite(.timeLimit(.minutes(2))) struct AuditTamperingTests {
  /// A log of twenty entries, tampered with.
  private func check(
    _ engine: TestEngine, _ tamper: @escaping @Sendable (WriteConnection) throws -> Void
  ) async throws -> AuditCheck.Problem? {
    let store = try await TestStore(engine)
    let log = EventLog(database: try await store.open(migrations), hub: EventHub())
    _ = try await log.record((1...20).map { ProgressEvent(missionId: "m", sequence: $0, state: .running) })
    #expect(try await log.audit.check().problem == nil)
    try await log.database.write(tamper)
    let check = try await log.audit.check()
    await log.database.close()
    withExtendedLifetime(store) {}
    return check.problem
  }

  private static func forged(_ sequence: UInt64) throws -> [UInt8] {
    try ProgressEvent(missionId: "m", sequence: sequence, message: "forged", state: .running).bytes()
  }

  @Test(arguments: TestEngine.allCases, [Int64(1), 11, 20])
  func aChangedEventIsFound(_ engine: TestEngine, _ number: Int64) async throws {
    let problem = try await check(engine) {
      try $0.execute("UPDATE audit SET event = $1 WHERE number = $2", Self.forged(UInt64(number)), number)
    }
    #expect(problem?.number == number)
    #expect(problem?.text == "entry \(number): its event was changed")
  }

  @Test(arguments: TestEngine.allCases, [Int64(1), 11, 20])
  func aChangedHashIsFound(_ engine: TestEngine, _ number: Int64) async throws {
    let problem = try await check(engine) {
      try $0.execute("UPDATE audit SET hash = $1 WHERE number = $2", [UInt8](repeating: 9, count: 32), number)
    }
    #expect(problem?.number == number)
    #expect(problem?.text == "entry \(number): its hash was changed")
  }

  /// Event and hash made anew: what follows does not rest on it any more.
  @Test(arguments: TestEngine.allCases) func aForgedEntryIsFoundByWhatFollows(_ engine: TestEngine) async throws {
    let problem = try await check(engine) { connection in
      let before = try connection.first("SELECT hash FROM audit WHERE number = 10")?.blob("hash") ?? []
      let forged = AuditHead(number: 10, hash: before).following(try Self.forged(11))
      try connection.execute(
        "UPDATE audit SET event = $1, hash = $2 WHERE number = 11", try Self.forged(11), forged.hash)
    }
    #expect(problem?.number == 12)
  }

  @Test(arguments: TestEngine.allCases, [1...1, 8...8, 8...10, 19...20] as [ClosedRange<Int64>])
  func missingEntriesAreFound(_ engine: TestEngine, _ range: ClosedRange<Int64>) async throws {
    let problem = try await check(engine) {
      try $0.execute("DELETE FROM audit WHERE number BETWEEN $1 AND $2", range.lowerBound, range.upperBound)
    }
    #expect(problem?.number == range.lowerBound)
    #expect(problem?.text.contains("missing") == true)
  }

  @Test(arguments: TestEngine.allCases) func aGapThatWasClosedIsFound(_ engine: TestEngine) async throws {
    let problem = try await check(engine) { connection in
      try connection.execute("DELETE FROM audit WHERE number = 8")
      for number in Int64(9)...20 {
        try connection.execute("UPDATE audit SET number = $1 WHERE number = $2", number - 1, number)
      }
    }
    #expect(problem?.number == 8)
  }

  @Test(arguments: TestEngine.allCases) func reorderedEntriesAreFound(_ engine: TestEngine) async throws {
    let problem = try await check(engine) { connection in
      for (from, to) in [(5, 100), (14, 5), (100, 14)] as [(Int64, Int64)] {
        try connection.execute("UPDATE audit SET number = $1 WHERE number = $2", to, from)
      }
    }
    #expect(problem?.number == 5)
    #expect(problem?.text.contains("does not follow") == true)
  }

  @Test(arguments: TestEngine.allCases) func anInsertedEntryIsFound(_ engine: TestEngine) async throws {
    let problem = try await check(engine) { connection in
      for number in (Int64(9)...20).reversed() {
        try connection.execute("UPDATE audit SET number = $1 WHERE number = $2", number + 1, number)
      }
      try Self.insert(9, Self.forged(9), hash: [UInt8](repeating: 1, count: 32), connection)
    }
    #expect(problem?.number == 9)
  }

  @Test(arguments: TestEngine.allCases) func entriesOutsideOfTheLogAreFound(_ engine: TestEngine) async throws {
    let behind = try await check(engine) { connection in
      let last = try connection.first("SELECT hash FROM audit WHERE number = 20")?.blob("hash") ?? []
      let event = try Self.forged(21)
      try Self.insert(21, event, hash: AuditHead(number: 20, hash: last).following(event).hash, connection)
    }
    #expect(behind == .init(number: 21, text: "entry 21: it was added behind the end of the log"))
    let before = try await check(engine) { try Self.insert(-3, Self.forged(1), hash: [], $0) }
    #expect(before?.number == 1)
  }

  @Test(arguments: TestEngine.allCases) func whatAnEntryIsFoundByMustBeItsEvents(_ engine: TestEngine) async throws {
    for column in ["mission_id", "actor"] {
      let problem = try await check(engine) {
        try $0.execute("UPDATE audit SET \(column) = 'somebody' WHERE number = 13")
      }
      #expect(problem?.number == 13)
      #expect(problem?.text.contains("mission or its actor") == true)
    }
  }

  @Test(arguments: TestEngine.allCases) func aHeadThatWasChangedIsFound(_ engine: TestEngine) async throws {
    let other = try await check(engine) {
      try $0.execute("UPDATE audit_head SET hash = $1", [UInt8](repeating: 3, count: 32))
    }
    #expect(other?.number == 20)
    let none = try await check(engine) { try $0.execute("DELETE FROM audit_head") }
    #expect(none?.number == 20)
    #expect(none?.text.contains("is missing") == true)
  }

  /// Emptied together with its head, a log looks like a new one, but for the events that were stored.
  @Test(arguments: TestEngine.allCases) func aLogThatWasEmptiedIsFound(_ engine: TestEngine) async throws {
    let store = try await TestStore(engine)
    let log = EventLog(database: try await store.open(migrations), hub: EventHub())
    _ = try await log.record((1...20).map { ProgressEvent(missionId: "m", sequence: $0, state: .running) })
    try await log.database.write {
      try $0.execute("DELETE FROM audit")
      try $0.execute("DELETE FROM audit_head")
    }
    #expect(try await log.audit.check().problem == .init(number: 1, text: "entry 1: the entries 1 to 20 are missing"))
    _ = try await log.record((21...30).map { ProgressEvent(missionId: "m", sequence: $0, state: .running) })
    let healed = try await log.audit.check().problem
    #expect(healed == .init(number: 11, text: "entry 11: the entries 11 to 30 are missing"))
    await log.database.close()
    withExtendedLifetime(store) {}
  }

  @Test(arguments: TestEngine.allCases) func aHeadSetBackWithItsEntriesIsFound(_ engine: TestEngine) async throws {
    let problem = try await check(engine) { connection in
      let hash = try connection.first("SELECT hash FROM audit WHERE number = 15")?.blob("hash") ?? []
      try connection.execute("DELETE FROM audit WHERE number > 15")
      try connection.execute("UPDATE audit_head SET number = 15, hash = $1", hash)
    }
    #expect(problem == .init(number: 16, text: "entry 16: the entries 16 to 20 are missing"))
    let unknown = try await check(engine) { try $0.execute("DELETE FROM audit_start") }
    #expect(unknown?.text.contains("where the log began") == true)
  }

  /// Events from before there was a log have positions, and no entries.
  @Test(arguments: TestEngine.allCases) func whatIsOlderThanTheLogIsNotMissed(_ engine: TestEngine) async throws {
    let store = try await TestStore(engine)
    let earlier = try await store.open(Array(migrations.prefix(5)))
    try await earlier.write { try $0.execute("UPDATE newest_position SET position = 40") }
    await earlier.close()
    let log = EventLog(database: try await store.open(migrations), hub: EventHub())
    #expect(try await log.audit.check().problem == nil)
    _ = try await log.record((1...5).map { ProgressEvent(missionId: "m", sequence: $0, state: .running) })
    #expect(try await log.audit.check().problem == nil)
    try await log.database.write {
      try $0.execute("DELETE FROM audit")
      try $0.execute("DELETE FROM audit_head")
    }
    #expect(try await log.audit.check().problem?.text == "entry 1: the entries 1 to 5 are missing")
    await log.database.close()
    withExtendedLifetime(store) {}
  }

  @Test(arguments: TestEngine.allCases) func eventsGoOnWithoutAHead(_ engine: TestEngine) async throws {
    let store = try await TestStore(engine)
    let log = EventLog(database: try await store.open(migrations), hub: EventHub())
    _ = try await log.record((1...3).map { ProgressEvent(missionId: "m", sequence: $0, state: .running) })
    try await log.database.write { try $0.execute("DELETE FROM audit_head") }
    _ = try await log.record((4...6).map { ProgressEvent(missionId: "m", sequence: $0, state: .running) })
    #expect(try await log.audit.check().head.number == 6)
    await log.database.close()
    withExtendedLifetime(store) {}
  }

  /// A log whose last entries were taken out and that went on since has a gap, not a new chain.
  @Test(arguments: TestEngine.allCases) func whatComesAfterACutDoesNotHealIt(_ engine: TestEngine) async throws {
    let store = try await TestStore(engine)
    let log = EventLog(database: try await store.open(migrations), hub: EventHub())
    _ = try await log.record((1...20).map { ProgressEvent(missionId: "m", sequence: $0, state: .running) })
    try await log.database.write { try $0.execute("DELETE FROM audit WHERE number > 15") }
    _ = try await log.record((21...30).map { ProgressEvent(missionId: "m", sequence: $0, state: .running) })
    let problem = try await log.audit.check().problem
    #expect(problem == .init(number: 16, text: "entry 16: the entries 16 to 20 are missing"))
    await log.database.close()
    withExtendedLifetime(store) {}
  }

  /// More entries than are looked at in one transaction.
  @Test(arguments: TestEngine.allCases) func aLongLogIsCheckedInPieces(_ engine: TestEngine) async throws {
    let store = try await TestStore(engine)
    let log = EventLog(database: try await store.open(migrations), hub: EventHub())
    let count = Int64(AuditLog.readAtOnce * 2 + 3)
    _ = try await log.record((1...UInt64(count)).map { ProgressEvent(missionId: "m", sequence: $0, state: .running) })
    #expect(try await log.audit.check().head.number == count)
    // The last of a piece, whose follower is the first of the next.
    let number = Int64(AuditLog.readAtOnce)
    try await log.database.write {
      try $0.execute("UPDATE audit SET event = $1 WHERE number = $2", [8] as [UInt8], number)
    }
    let problem = try await log.audit.check().problem
    #expect(problem == .init(number: number, text: "entry \(number): its event was changed"))
    await log.database.close()
    withExtendedLifetime(store) {}
  }

  private static func insert(
    _ number: Int64, _ event: [UInt8], hash: [UInt8], _ connection: WriteConnection
  ) throws {
    try connection.execute(
      "INSERT INTO audit (number, mission_id, actor, event, hash) VALUES ($1, 'm', 'buddy', $2, $3)", number, event,
      hash)
  }
}

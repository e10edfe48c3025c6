import Foundation
import ServiceTestSupport
import Storage
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(2))) struct InboxTests {
  @Test(arguments: TestEngine.allCases) func aMessageIsTakenOnce(_ engine: TestEngine) async throws {
    struct Failed: Error {}
    let fixture = try await OutboxFixture(engine)
    defer { withExtendedLifetime(fixture) {} }
    let database = fixture.database
    #expect(try await database.write { try Inbox.take("a", in: $0) })
    #expect(try await database.write { try !Inbox.take("a", in: $0) })
    await #expect(throws: Failed.self) {
      try await database.write { connection in
        #expect(try Inbox.take("b", in: connection))
        throw Failed()
      }
    }
    #expect(try await database.write { try Inbox.take("b", in: $0) }, "what failed was not taken")
    await database.close()
  }

  @Test(arguments: TestEngine.allCases) func oldOnesAreForgottenInSmallBatches(_ engine: TestEngine) async throws {
    let fixture = try await OutboxFixture(engine)
    defer { withExtendedLifetime(fixture) {} }
    let database = fixture.database
    try await database.write { connection in
      for number in 0..<10 { _ = try Inbox.take("m\(number)", in: connection) }
      try connection.execute(
        "UPDATE inbox SET taken_us = $1 WHERE message_id < 'm7'", Date(timeIntervalSinceNow: -100))
    }
    let time = Date(timeIntervalSinceNow: -50)
    var pruned: [Int] = []
    for _ in 0..<4 { pruned.append(try await database.write { try Inbox.prune(before: time, limit: 3, in: $0) }) }
    #expect(pruned == [3, 3, 1, 0])
    #expect(try await database.write { try Inbox.take("m6", in: $0) }, "it is forgotten")
    #expect(try await database.write { try !Inbox.take("m7", in: $0) })
    await database.close()
  }
}

@Suite(.timeLimit(.minutes(2))) struct IdempotencyTests {
  private func once(
    _ database: Database, owner: String = "eva", key: String = "k", body: String, reply: String
  ) async throws -> String {
    try await database.write { connection in
      let bytes = try Idempotency.once(owner: owner, key: key, body: Array(body.utf8), in: connection) {
        try connection.execute("INSERT INTO item (id, name) VALUES ($1, $2)", Int.random(in: 1...(.max)), reply)
        return Array(reply.utf8)
      }
      return String(decoding: bytes, as: UTF8.self)
    }
  }

  private func items(_ database: Database) async throws -> [String] {
    try await database.read { try $0.rows("SELECT name FROM item ORDER BY name").map { try $0.text("name") } }
  }

  @Test(arguments: TestEngine.allCases) func theSameBodyGetsTheFirstReply(_ engine: TestEngine) async throws {
    let fixture = try await OutboxFixture(engine)
    defer { withExtendedLifetime(fixture) {} }
    let database = fixture.database
    #expect(try await once(database, body: "b", reply: "first") == "first")
    #expect(try await once(database, body: "b", reply: "second") == "first")
    #expect(try await once(database, owner: "adam", body: "b", reply: "adam's") == "adam's")
    #expect(try await once(database, key: "other", body: "b", reply: "other") == "other")
    #expect(try await items(database) == ["adam's", "first", "other"])
    await database.close()
  }

  @Test(arguments: TestEngine.allCases) func anotherBodyIsRefused(_ engine: TestEngine) async throws {
    let fixture = try await OutboxFixture(engine)
    defer { withExtendedLifetime(fixture) {} }
    let database = fixture.database
    _ = try await once(database, body: "b", reply: "first")
    await #expect(throws: Idempotency.AnotherBody.self) { try await once(database, body: "c", reply: "second") }
    #expect(try await items(database) == ["first"])
    await database.close()
  }

  @Test(arguments: TestEngine.allCases) func whatFailsLeavesTheKeyUnused(_ engine: TestEngine) async throws {
    struct Failed: Error {}
    let fixture = try await OutboxFixture(engine)
    defer { withExtendedLifetime(fixture) {} }
    let database = fixture.database
    await #expect(throws: Failed.self) {
      try await database.write { connection in
        _ = try Idempotency.once(owner: "eva", key: "k", body: [1], in: connection) { throw Failed() }
      }
    }
    #expect(try await once(database, body: "b", reply: "later") == "later")
    await database.close()
  }

  @Test(arguments: TestEngine.allCases) func manyAtOnceDoItOnce(_ engine: TestEngine) async throws {
    let fixture = try await OutboxFixture(engine)
    defer { withExtendedLifetime(fixture) {} }
    let database = fixture.database
    let replies = try await withThrowingTaskGroup(of: String.self) { group in
      for number in 0..<50 { group.addTask { try await once(database, body: "b", reply: "r\(number)") } }
      return try await group.reduce(into: Set<String>()) { $0.insert($1) }
    }
    #expect(replies.count == 1)
    #expect(try await items(database) == Array(replies))
    await database.close()
  }

  @Test(arguments: TestEngine.allCases) func oldRepliesAreForgotten(_ engine: TestEngine) async throws {
    let fixture = try await OutboxFixture(engine)
    defer { withExtendedLifetime(fixture) {} }
    let database = fixture.database
    try await database.write { connection in
      for number in 0..<5 {
        try Idempotency.keep(
          [1], owner: "eva", key: "k\(number)", body: [2], created: Date(timeIntervalSinceNow: -100), in: connection)
      }
    }
    _ = try await once(database, key: "new", body: "b", reply: "new")
    let time = Date(timeIntervalSinceNow: -50)
    #expect(try await database.write { try Idempotency.prune(before: time, limit: 3, in: $0) } == 3)
    #expect(try await database.write { try Idempotency.prune(before: time, limit: 3, in: $0) } == 2)
    #expect(try await database.write { try Idempotency.prune(before: time, limit: 3, in: $0) } == 0)
    #expect(try await once(database, key: "k0", body: "x", reply: "again") == "again")
    #expect(try await once(database, key: "new", body: "b", reply: "again") == "new")
    await database.close()
  }
}

@Suite(.timeLimit(.minutes(2))) struct SavepointTests {
  private struct Failed: Error {}

  @Test(arguments: TestEngine.allCases) func aPartThatFailsIsUndoneAlone(_ engine: TestEngine) async throws {
    let fixture = try await OutboxFixture(engine)
    defer { withExtendedLifetime(fixture) {} }
    let database = fixture.database
    let done = Mutex<[String]>([])
    try await database.write { connection in
      func insert(_ id: Int) throws {
        try connection.execute("INSERT INTO item (id, name) VALUES ($1, $2)", id, "n\(id)")
        connection.afterCommit { done.withLock { $0.append("n\(id)") } }
      }
      try insert(1)
      try connection.savepoint {
        try insert(2)
        #expect(throws: Failed.self) {
          try connection.savepoint {
            try insert(3)
            throw Failed()
          }
        }
        try insert(4)
      }
      #expect(throws: StorageError.self) {
        try connection.savepoint {
          try insert(5)
          try connection.savepoint { try insert(6) }
          try insert(1)
        }
      }
      try insert(7)
    }
    let names = try await database.read {
      try $0.rows("SELECT name FROM item ORDER BY id").map { try $0.text("name") }
    }
    #expect(names == ["n1", "n2", "n4", "n7"])
    #expect(done.withLock { $0 } == names)
    await database.close()
  }

  @Test(arguments: TestEngine.allCases) func theWholeIsStillUndoneByItsOwnError(_ engine: TestEngine) async throws {
    let fixture = try await OutboxFixture(engine)
    defer { withExtendedLifetime(fixture) {} }
    let database = fixture.database
    await #expect(throws: Failed.self) {
      try await database.write { connection in
        try connection.savepoint { _ = try connection.execute("INSERT INTO item (id, name) VALUES (1, 'x')") }
        throw Failed()
      }
    }
    #expect(try await database.read { try $0.rows("SELECT id FROM item") }.isEmpty)
    await database.close()
  }
}

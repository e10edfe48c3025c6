import ServiceTestSupport
import Storage
import TestSupport
import Testing

/// Leases, and a table of guarded writes: which fence wrote to which resource, in order.
private struct LeaseFixture {
  static let migrations = [
    Migration(1, "leases", sql: Lease.schema),
    Migration(
      2, "writes",
      sql: "CREATE TABLE writes (id INTEGER PRIMARY KEY AUTOINCREMENT, resource TEXT NOT NULL, fence BIGINT NOT NULL)"),
  ]

  let place: TestStore
  let database: Database

  init(_ engine: TestEngine) async throws {
    place = try await TestStore(engine)
    database = try await place.open(Self.migrations)
  }

  func claim(_ resource: String, _ holder: String, for duration: Duration = .seconds(600)) async throws -> Lease? {
    let holder = LeaseHolder(id: holder, duration: duration)
    return try await database.write { try Lease.claim(resource, by: holder, in: $0) }
  }

  func renew(_ leases: [Lease], _ holder: String) async throws -> Set<Lease> {
    try await database.write { try Lease.renew(leases, of: LeaseHolder(id: holder, duration: .seconds(600)), in: $0) }
  }

  /// As when its holder was frozen for too long.
  func expire(_ resource: String) async throws {
    try await database.write { try $0.execute("UPDATE leases SET expires_us = 0 WHERE resource = $1", resource) }
  }

  /// True where the write was stored, false where the fence refused it.
  func write(_ lease: Lease) async throws -> Bool {
    do {
      try await database.write { connection in
        try connection.execute(
          "INSERT INTO writes (resource, fence) VALUES ($1, $2)", lease.resource, lease.fence)
        try lease.check(in: connection)
      }
      return true
    } catch is LeaseLost {
      return false
    }
  }

  /// The fences that wrote to a resource, in the order of their writes.
  func fences(_ resource: String) async throws -> [Int64] {
    try await database.read { connection in
      try connection.rows("SELECT fence FROM writes WHERE resource = $1 ORDER BY id", resource)
        .map { try $0.int64("fence") }
    }
  }
}

@Suite(.timeLimit(.minutes(2))) struct LeaseTests {
  @Test(arguments: TestEngine.allCases)
  func aLiveLeaseExcludesEveryoneUntilItIsReleased(_ engine: TestEngine) async throws {
    let fixture = try await LeaseFixture(engine)
    let first = try #require(try await fixture.claim("r", "a"))
    #expect(first.fence == 1)
    #expect(try await fixture.claim("r", "b") == nil)
    #expect(try await fixture.claim("r", "a") == nil, "two tasks of one process exclude each other, too")
    #expect(try await fixture.claim("other", "b")?.fence == 1)
    #expect(try await fixture.write(first))
    #expect(try await fixture.database.read { try Lease.isLive("r", in: $0) })
    try await fixture.database.write { try first.release(in: $0) }
    #expect(try await fixture.database.read { try !Lease.isLive("r", in: $0) })
    #expect(try await !fixture.write(first))
    #expect(try await fixture.renew([first], "a").isEmpty)
    #expect(try await fixture.claim("r", "b")?.fence == 2)
    await fixture.database.close()
  }

  @Test(arguments: TestEngine.allCases)
  func expiryLetsOthersClaimAndTheirClaimEndsIt(_ engine: TestEngine) async throws {
    let fixture = try await LeaseFixture(engine)
    let first = try #require(try await fixture.claim("r", "a", for: .zero))
    #expect(try await fixture.write(first), "nobody has claimed it, so nobody can be hurt")
    #expect(try await fixture.renew([first], "a") == [first])
    #expect(try await fixture.claim("r", "b") == nil, "it was renewed")
    try await fixture.expire("r")
    let second = try #require(try await fixture.claim("r", "b"))
    #expect(second.fence == 2)
    #expect(try await !fixture.write(first))
    #expect(try await fixture.renew([first], "a").isEmpty)
    try await fixture.database.write { connection in
      try first.release(in: connection)
      try first.drop(in: connection)
    }
    #expect(try await fixture.write(second), "a former holder's release takes nothing from the present one")
    try await fixture.expire("r")
    let third = try #require(try await fixture.claim("r", "a"))
    #expect(try await fixture.renew([first, third], "a") == [third])
    #expect(try await !fixture.write(first), "the same holder's former lease is stale as well")
    #expect(try await fixture.fences("r") == [1, 2])
    await fixture.database.close()
  }

  @Test(arguments: TestEngine.allCases)
  func ofManyWhoClaimOneHasItAndTheFenceGrowsByOne(_ engine: TestEngine) async throws {
    let fixture = try await LeaseFixture(engine)
    let claimed = try await withThrowingTaskGroup(of: Int64.self) { group in
      for number in 1...40 {
        group.addTask {
          while true {
            guard let lease = try await fixture.claim("r", "holder \(number)") else { continue }
            #expect(try await fixture.write(lease))
            try await fixture.database.write { try lease.release(in: $0) }
            return lease.fence
          }
        }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(claimed.sorted() == Array(1...40))
    #expect(try await fixture.fences("r") == Array(1...40), "one after another")
    await fixture.database.close()
  }

  @Test(arguments: TestEngine.allCases)
  func whatIsDroppedCanBeWrittenByNobody(_ engine: TestEngine) async throws {
    let fixture = try await LeaseFixture(engine)
    let lease = try #require(try await fixture.claim("r", "a"))
    #expect(try await fixture.database.write { try !Lease.dropExpired("r", in: $0) })
    try await fixture.expire("r")
    #expect(try await fixture.database.write { try Lease.dropExpired("r", in: $0) })
    #expect(try await !fixture.write(lease))
    #expect(try await fixture.renew([lease], "a").isEmpty)
    #expect(try await fixture.database.read { try !Lease.exists("r", in: $0) })
    let second = try #require(try await fixture.claim("r", "b"))
    try await fixture.database.write { try second.drop(in: $0) }
    #expect(try await fixture.database.read { try !Lease.exists("r", in: $0) })
    await fixture.database.close()
  }

  @Test(arguments: TestEngine.allCases)
  func manyAreRenewedTogetherAndExpireTogether(_ engine: TestEngine) async throws {
    let fixture = try await LeaseFixture(engine)
    let holder = LeaseHolder(id: "a", duration: .zero)
    let leases = try await fixture.database.write { connection in
      try (0..<1_201).compactMap { try Lease.claim("r\($0)", by: holder, in: connection) }
    }
    let taken = try #require(try await fixture.claim("r7", "b"))
    let kept = try await fixture.renew(leases, "a")
    #expect(kept == Set(leases).filter { $0.resource != "r7" })
    #expect(try await fixture.claim("r1200", "b") == nil)
    try await fixture.database.write { try Lease.expireAll(in: $0) }
    #expect(try await fixture.claim("r1200", "b")?.fence == 2)
    #expect(try await fixture.claim("r7", "a")?.fence == 3)
    #expect(try await !fixture.write(taken))
    #expect(try await fixture.renew([], "a").isEmpty)
    await fixture.database.close()
  }

  /// Three holders claim, write, renew and release in any order, and are frozen for longer than their leases last.
  @Test(arguments: TestEngine.allCases)
  func noStaleWriteLandsInAnyOrder(_ engine: TestEngine) async throws {
    let fixture = try await LeaseFixture(engine)
    var random = SeededRandom()
    let resources = ["r", "s"]
    /// What each holder believes to have: it learns of a loss only by being refused.
    var believed: [[String: Lease]] = [[:], [:], [:]]
    var current: [String: Lease] = [:]
    var refused = 0
    for _ in 0..<2_000 {
      let (holder, resource) = (Int.random(in: 0..<3, using: &random), resources.randomElement(using: &random)!)
      let belief = believed[holder][resource]
      switch Int.random(in: 0..<10, using: &random) {
      case 0..<3:
        guard let lease = try await fixture.claim(resource, "h\(holder)") else { break }
        #expect(lease.fence > current[resource]?.fence ?? 0)
        believed[holder][resource] = lease
        current[resource] = lease
      case 3..<7:
        guard let belief else { break }
        let isStored = try await fixture.write(belief)
        #expect(isStored == (belief == current[resource]))
        if !isStored { refused += 1 }
      case 7:
        guard let belief else { break }
        #expect(try await fixture.renew([belief], "h\(holder)").isEmpty == (belief != current[resource]))
      case 8:
        guard let belief, belief == current[resource] else { break }
        // The fence goes on from here, so the model keeps it under a lease that nobody believes in.
        try await fixture.database.write { try belief.release(in: $0) }
        believed[holder][resource] = nil
      default:
        try await fixture.expire(resource)
      }
    }
    #expect(refused > 0)
    for resource in resources {
      let fences = try await fixture.fences(resource)
      #expect(fences == fences.sorted(), "no former holder wrote after its successor")
    }
    await fixture.database.close()
  }
}

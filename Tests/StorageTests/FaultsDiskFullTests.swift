import Storage
import TestSupport
import Testing

/// The disk is full, or fails, at every one of the first hundred writes and flushes, while writers share commits.
@Suite struct FaultsDiskFullTests {
  private let options = DatabaseOptions(readers: 1)

  private func open(_ disk: FaultyDisk) async throws -> Database {
    let database = try await Database.open(
      .sqlite(path: disk.path), migrations: Pairs.migrations, options: options)
    // The log moves into the database file every few commits, so that this fails too.
    try await database.write { _ = try $0.rows("PRAGMA wal_autocheckpoint = 24") }
    return database
  }

  @Test(arguments: DiskFault.all)
  func theNthOperationFails(_ fault: DiskFault) async throws {
    let disk = try FaultyDisk()
    let pairs = Pairs()
    var database = try await open(disk)
    for nth in 1...100 {
      disk.fail(fault, at: nth)
      var errors: [StorageError] = []
      repeat { errors += await pairs.writeTogether(8, database) } while disk.failures == 0
      if fault.lasts {
        let more = await pairs.writeTogether(4, database)
        #expect(more.count == 4, "written to a disk that takes nothing")
        errors += more
      }
      for error in errors where !fault.isNamed(by: error) { Issue.record("operation \(nth): \(error)") }
      disk.heal()

      #expect(await pairs.writeTogether(4, database) == [], "after operation \(nth) had failed")
      try await pairs.check(database, strictly: true)
      if nth % 10 == 0 {
        await database.close()
        database = try await open(disk)
        try await pairs.check(database, strictly: true)
        #expect(try await integrity(database) == "ok")
      }
    }
    await database.close()
    let (acknowledged, refused) = (await pairs.acknowledged.count, await pairs.refused.count)
    print("\(fault.testDescription), operations 1…100: \(acknowledged) acknowledged, \(refused) refused, 0 astray")
    #expect(refused > 0)
  }

  /// The service ends while its disk still fails: whoever was refused may find the row, but never half of it.
  @Test(arguments: DiskFault.all.filter(\.lasts))
  func closedWhileTheDiskFails(_ fault: DiskFault) async throws {
    let disk = try FaultyDisk()
    let pairs = Pairs()
    for nth in 1...40 {
      let database = try await open(disk)
      disk.fail(fault, at: nth)
      repeat { await pairs.writeTogether(8, database) } while disk.failures == 0
      await database.close()
      disk.heal()
      let again = try await open(disk)
      try await pairs.check(again, strictly: false)
      #expect(try await integrity(again) == "ok")
      await again.close()
    }
  }

  /// While a database is made: the error says why, and a second attempt finds nothing in its way.
  @Test(arguments: DiskFault.all)
  func theNthOperationOfOpeningFails(_ fault: DiskFault) async throws {
    var nth = 1
    while true {
      let disk = try FaultyDisk()
      disk.fail(fault, at: nth)
      let error = await storageError { await (try open(disk)).close() }
      guard disk.failures > 0 else { break }
      // What fails while the last connection closes is done again at the next opening.
      if let error, !fault.isNamed(by: error) { Issue.record("operation \(nth): \(error)") }
      disk.heal()
      let database = try await open(disk)
      let pairs = Pairs()
      #expect(await pairs.write(database) == nil)
      try await pairs.check(database, strictly: true)
      #expect(try await integrity(database) == "ok")
      await database.close()
      nth += 1
    }
    #expect(nth > 3)
  }

  /// A closure bigger than the page cache writes to the disk long before its commit.
  @Test(arguments: DiskFault.all.filter { $0.kind != .errorOnSync })
  func aClosureBiggerThanTheCache(_ fault: DiskFault) async throws {
    let disk = try FaultyDisk()
    let pairs = Pairs()
    let database = try await open(disk)
    try await database.write { _ = try $0.rows("PRAGMA cache_size = 16") }
    for nth in [1, 2, 3, 5, 8, 13, 21, 34, 55, 89] {
      disk.fail(fault, at: nth)
      let error = await storageError {
        try await database.write { connection in
          for row in 1...400 {
            try connection.execute(
              "INSERT INTO pair (id, half, payload) VALUES ($1, $2, $3)", -row, 0, String(repeating: "y", count: 900))
          }
        }
      }
      #expect(disk.failures > 0)
      #expect(error.map(fault.isNamed) == true, "operation \(nth): \(String(describing: error))")
      disk.heal()
      #expect(await pairs.writeTogether(4, database) == [])
      try await pairs.check(database, strictly: true)
    }
    #expect(try await integrity(database) == "ok")
    await database.close()
  }
}

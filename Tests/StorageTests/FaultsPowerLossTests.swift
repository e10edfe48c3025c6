@testable import Storage
import TestSupport
import Testing

/// The power goes away while writers share commits; what was not synced by then is lost or torn, sector by sector.
@Suite struct FaultsPowerLossTests {
  private static let writers = 8

  /// Writes until the power is cut at a random operation, and gives it back. Returns how many sectors were lost.
  private func run(
    _ disk: FaultyDisk, _ pairs: Pairs, _ random: inout SeededRandom, options: DatabaseOptions
  ) async throws -> Int {
    let database = try await Database.open(.sqlite(path: disk.path), migrations: Pairs.migrations, options: options)
    let checkpoint = Int.random(in: 4...200, using: &random)
    try await database.write { _ = try $0.rows("PRAGMA wal_autocheckpoint = \(checkpoint)") }
    disk.cutPower(at: Int.random(in: 1...1_000, using: &random))
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<Self.writers {
        group.addTask { while disk.hasPower { await pairs.write(database) } }
      }
    }
    await database.close()
    return try disk.restorePower(seed: random.next(), kept: Int.random(in: 0...256, using: &random))
  }

  @Test func everyAcknowledgedRowSurvives() async throws {
    var random = SeededRandom()
    var lost = 0
    var acknowledged = 0
    for _ in 0..<20 {
      let disk = try FaultyDisk()
      let pairs = Pairs()
      // The same file loses power several times in its life.
      for _ in 0..<3 {
        lost += try await run(disk, pairs, &random, options: DatabaseOptions(readers: 1))
        let database = try await Database.open(.sqlite(path: disk.path), migrations: Pairs.migrations)
        try await pairs.check(database, strictly: false)
        #expect(try await integrity(database) == "ok")
        await database.close()
      }
      acknowledged += await pairs.acknowledged.count
    }
    print("60 power cuts: \(acknowledged) pairs acknowledged, \(lost) sectors lost or torn, 0 pairs lost")
    #expect(lost > 0 && acknowledged > 0)
  }

  /// Without flushes rows are lost: the test above would see it.
  @Test func withoutFlushesRowsAreLost() async throws {
    var random = SeededRandom()
    var options = DatabaseOptions(readers: 1)
    options.synchronous = .off
    var missing = 0
    for _ in 0..<20 {
      let disk = try FaultyDisk()
      let pairs = Pairs()
      _ = try await run(disk, pairs, &random, options: options)
      do {
        let database = try await Database.open(.sqlite(path: disk.path), migrations: Pairs.migrations)
        missing += try await pairs.missing(database)
        await database.close()
      } catch is StorageError {
        // The file was damaged: everything in it is gone.
        missing += await pairs.acknowledged.count
      }
    }
    print("20 power cuts without flushes: \(missing) acknowledged pairs lost")
    #expect(missing > 0)
  }
}

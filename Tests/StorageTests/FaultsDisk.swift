import CFaults
import Foundation
import Storage
import TestSupport
import Testing

/// A kind of failure of a disk, and whether it lasts until there is space again.
struct DiskFault: Sendable, CustomTestStringConvertible {
  enum Kind: String, CaseIterable { case fullOnWrite, errorOnWrite, errorOnSync }

  let kind: Kind
  let lasts: Bool

  static let all = Kind.allCases.flatMap { [DiskFault(kind: $0, lasts: true), DiskFault(kind: $0, lasts: false)] }

  var testDescription: String { "\(kind), \(lasts ? "until there is space" : "once")" }

  var operations: Int32 {
    switch kind {
    case .fullOnWrite, .errorOnWrite: Int32(FAULTY_WRITE | FAULTY_TRUNCATE)
    case .errorOnSync: Int32(FAULTY_SYNC)
    }
  }

  /// SQLite's SQLITE_FULL, SQLITE_IOERR_WRITE and SQLITE_IOERR_FSYNC.
  var code: Int32 {
    switch kind {
    case .fullOnWrite: 13
    case .errorOnWrite: 10 | 3 << 8
    case .errorOnSync: 10 | 4 << 8
    }
  }

  /// Whether an error says what happened, in its kind and in words.
  func isNamed(by error: StorageError) -> Bool {
    let words = "\(error)"
    switch (kind, error) {
    case (.fullOnWrite, .diskFull): return words.hasPrefix("the disk is full: ")
    case (.errorOnWrite, .io), (.errorOnSync, .io): return words.contains("disk I/O error")
    // While migrations are applied and files opened, the message has it.
    case (_, .migrationFailed(_, _, let reason)), (_, .cannotOpen(_, let reason)):
      return reason.contains(kind == .fullOnWrite ? "full" : "disk I/O error")
    default: return false
    }
  }
}

/// A folder on a disk that fails and loses power on command.
final class FaultyDisk: Sendable {
  let folder: TemporaryFolder
  var path: String { folder.file("test.sqlite3") }
  // SAFETY: the C side guards its state with a mutex.
  nonisolated(unsafe) private let disk: OpaquePointer

  init() throws {
    folder = try TemporaryFolder("faults")
    disk = faulty_disk_create(URL(fileURLWithPath: folder.path).resolvingSymlinksInPath().path)
  }

  deinit { faulty_disk_destroy(disk) }

  func fail(_ fault: DiskFault, at nth: Int) {
    faulty_disk_fail(disk, fault.operations, nth, fault.code, !fault.lasts)
  }

  func heal() { faulty_disk_heal(disk) }

  var failures: Int { faulty_disk_failures(disk) }

  func cutPower(at nth: Int) { faulty_disk_cut_power(disk, nth) }

  var hasPower: Bool { faulty_disk_has_power(disk) }

  /// Returns how many sectors were lost.
  func restorePower(seed: UInt64, kept: Int) throws -> Int {
    let lost = faulty_disk_restore_power(disk, seed, Int32(kept))
    try #require(lost >= 0)
    return lost
  }
}

/// Pairs of rows written together, and what their writers were told about each.
actor Pairs {
  static let migrations = [
    Migration(
      1, "pairs",
      sql: """
        CREATE TABLE pair (
          id BIGINT NOT NULL, half BIGINT NOT NULL, payload TEXT NOT NULL, PRIMARY KEY (id, half));
        CREATE INDEX pair_payload ON pair (payload);
        """)
  ]

  private(set) var acknowledged: Set<Int> = []
  private(set) var refused: [Int: StorageError] = [:]
  private var next = 0

  private func takeID() -> Int {
    next += 1
    return next
  }

  private func note(_ id: Int, _ error: StorageError?) {
    if let error { refused[id] = error } else { acknowledged.insert(id) }
  }

  /// Writes one pair of 300-byte rows in one closure; the error its writer got.
  @discardableResult
  func write(_ database: Database) async -> StorageError? {
    let id = takeID()
    let error = await storageError {
      try await database.write { connection in
        for half in 1...2 {
          let payload = "\(id &* 7_919 % 10_007) \(half) " + String(repeating: "x", count: 290)
          try connection.execute("INSERT INTO pair (id, half, payload) VALUES ($1, $2, $3)", id, half, payload)
        }
      }
    }
    note(id, error)
    return error
  }

  /// Writes pairs by some writers at once; the errors they got.
  @discardableResult
  nonisolated func writeTogether(_ writers: Int, _ database: Database) async -> [StorageError] {
    await withTaskGroup(of: StorageError?.self) { group in
      for _ in 0..<writers { group.addTask { await self.write(database) } }
      return await group.reduce(into: []) { if let error = $1 { $0.append(error) } }
    }
  }

  /// Acknowledged pairs are there; of the others none is there by half, and none at all where `strictly` is set.
  func check(_ database: Database, strictly: Bool) async throws {
    let halves = try await database.read { connection in
      try connection.rows("SELECT id, count(*) AS n, sum(half) AS s FROM pair GROUP BY id").map {
        (id: try $0.int("id"), isWhole: try $0.int("n") == 2 && $0.int("s") == 3)
      }
    }
    let present = Set(halves.map(\.id))
    let missing = acknowledged.subtracting(present)
    #expect(missing.isEmpty, "acknowledged and gone")
    #expect(halves.filter { !$0.isWhole }.map(\.id).isEmpty, "there by half")
    if strictly { #expect(present.subtracting(acknowledged).isEmpty, "refused and there") }
  }

  /// How many acknowledged pairs are not there.
  func missing(_ database: Database) async throws -> Int {
    let present = try await database.read { try $0.rows("SELECT DISTINCT id FROM pair").map { try $0.int("id") } }
    return acknowledged.subtracting(present).count
  }
}

/// What SQLite's own check of the whole file says.
func integrity(_ database: Database) async throws -> String {
  try await database.read { try $0.rows("PRAGMA integrity_check").map { try $0.text("integrity_check") }.joined() }
}

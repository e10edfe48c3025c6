import ArgumentParser
import Foundation
import ServiceTestSupport
import Storage
import Synchronization

/// Writes 300-byte rows, each durable before its writer goes on: alone in their transactions, and sharing them.
@main
struct StorageBench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "storage-bench")

  @Option(help: "Writers at a time.") var writers = 64
  @Option(help: "Seconds of one measurement.") var seconds = 2.0
  @Option(help: "Measurements of each kind, turn by turn; the median counts.") var rounds = 5
  @Option(help: "The folder that the database is made in; it decides which disk is measured.") var folder = "."
  @Flag(help: "Leave out PostgreSQL.") var withoutPostgres = false
  @Option(help: "Fail if group commit is not this many times as fast as single commits.") var leastRatio = 0.0

  func run() async throws {
    let folder = "\(folder)/storage-bench-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let ratio = try await compare("SQLite, synchronous=FULL") { .sqlite(path: "\(folder)/\($0).sqlite3") }
    if !withoutPostgres {
      let server = try await PostgresServer(isDurable: true)
      _ = try await compare("PostgreSQL, fsync=on, over a Unix socket") { kind in
        .postgres(try PostgresAddress(server.url(), schema: "bench_\(kind)"))
      }
      try await server.stop()
    }
    guard ratio >= leastRatio else {
      print("SQLite: group commit is less than \(leastRatio) times as fast as single commits")
      throw ExitCode.failure
    }
  }

  /// Measures both kinds turn by turn on the two databases of an engine; returns how many times faster sharing is.
  private func compare(_ engine: String, _ location: (String) throws -> DatabaseLocation) async throws -> Double {
    let kinds = [("single", 1), ("group", DatabaseOptions().largestBatch)]
    var results: [String: [Measurement]] = [:]
    for round in 1...rounds {
      for (kind, largestBatch) in kinds {
        let database = try await Database.open(
          location("\(kind)_\(round)"), migrations: Self.migrations, options: .init(largestBatch: largestBatch))
        let measured = try await measure(database)
        await database.close()
        results[kind, default: []].append(measured)
        print("\(engine): round \(round), \(kind) commits: \(measured)")
      }
    }
    let medians = kinds.map { kind in results[kind.0, default: []].sorted { $0.rate < $1.rate }[rounds / 2] }
    let ratio = medians[1].rate / medians[0].rate
    print("\(engine), \(writers) writers, 300-byte rows, median of \(rounds):")
    for (kind, median) in zip(kinds, medians) { print("  \(kind.0) commits  \(median)") }
    print("  ratio           \(Self.text(ratio, digits: 1))")
    return ratio
  }

  private static let migrations = [
    Migration(1, "rows", sql: "CREATE TABLE bench (id BIGINT NOT NULL PRIMARY KEY, payload TEXT NOT NULL);")
  ]

  private func measure(_ database: Database) async throws -> Measurement {
    let payload = String(repeating: "x", count: 290)
    let clock = ContinuousClock()
    let before = database.statistics
    let ids = Numbers()
    let cpu = Self.processorTime()
    let start = clock.now
    let end = start + .seconds(seconds)
    let latencies = try await withThrowingTaskGroup(of: [Double].self) { group in
      for _ in 0..<writers {
        group.addTask {
          var latencies: [Double] = []
          while clock.now < end {
            let id = ids.take()
            let begin = clock.now
            try await database.write {
              _ = try $0.execute("INSERT INTO bench (id, payload) VALUES ($1, $2)", id, payload)
            }
            latencies.append((clock.now - begin) / .milliseconds(1))
          }
          return latencies
        }
      }
      return try await group.reduce(into: []) { $0 += $1 }
    }
    let took = (clock.now - start) / .seconds(1)
    let after = database.statistics
    return Measurement(
      rate: Double(latencies.count) / took,
      batch: Double(after.writes - before.writes) / Double(after.commits - before.commits),
      processor: (Self.processorTime() - cpu) * 1e6 / Double(latencies.count), latencies: latencies.sorted())
  }

  /// Ids that rise with time, as those of missions and messages do.
  private final class Numbers: Sendable {
    private let last = Atomic(0)
    func take() -> Int { last.add(1, ordering: .relaxed).newValue }
  }

  private struct Measurement: CustomStringConvertible {
    /// Rows per second.
    let rate: Double
    /// Rows in one commit, on average.
    let batch: Double
    /// Microseconds of processor time that this process spent for a row.
    let processor: Double
    /// From handing a row in to its answer, in milliseconds, ascending.
    let latencies: [Double]

    var description: String {
      let (p50, p99) = (latencies[latencies.count / 2], latencies[latencies.count * 99 / 100])
      return "\(text(rate, digits: 0)) rows/s, \(text(batch, digits: 1)) rows a commit, "
        + "\(text(processor, digits: 1)) µs of processor a row, "
        + "p50 \(text(p50, digits: 2)) ms, p99 \(text(p99, digits: 2)) ms"
    }
  }

  private static func processorTime() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
  }

  private static func text(_ number: Double, digits: Int) -> String { String(format: "%.\(digits)f", number) }
}

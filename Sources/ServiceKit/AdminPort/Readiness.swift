import RPC
import Storage
import Synchronization

/// Whether the service does its work: it serves, is not about to stop, and what it rests on answers.
final class Readiness: Sendable {
  enum Phase: String, Sendable {
    case starting, serving, stopping
  }

  /// What is not as it should be, by name; empty where the service is ready.
  struct Report: Sendable, Hashable {
    let phase: Phase
    let problems: [String: String]

    var isReady: Bool { phase == .serving && problems.isEmpty }
  }

  /// How long one check may take.
  static let checkLimit = Duration.seconds(1)

  private struct State {
    var phase = Phase.starting
    var checks: [(name: String, work: SharedWork<Void>)] = []
  }

  private let limit: Duration
  private let state = Mutex(State())

  init(limit: Duration = checkLimit) {
    self.limit = limit
  }

  /// Never back: a service that stops does not serve again.
  func enter(_ phase: Phase) {
    state.withLock { if $0.phase != .stopping { $0.phase = phase } }
  }

  /// Adds something the service rests on. A check that throws, or has no answer in time, is a problem of that name.
  func require(_ name: String, _ check: @escaping @Sendable () async throws -> Void) {
    state.withLock { $0.checks.append((name, SharedWork(check))) }
  }

  func require(_ database: Database) {
    require("database") { _ = try await database.read { try $0.first("SELECT 1 AS one") } }
  }

  func report() async -> Report {
    let (phase, checks) = state.withLock { ($0.phase, $0.checks) }
    guard phase == .serving else { return Report(phase: phase, problems: [:]) }
    let problems = await withTaskGroup(of: (String, String)?.self) { group in
      for check in checks {
        group.addTask { [limit] in
          do {
            try await check.work.value(within: limit)
            return nil
          } catch {
            return (check.name, Self.text(of: error))
          }
        }
      }
      return await group.reduce(into: [String: String]()) { problems, problem in
        if let (name, text) = problem { problems[name] = text }
      }
    }
    return Report(phase: phase, problems: problems)
  }

  /// Tells whether what the service rests on answers, whenever that changes, until the task is cancelled.
  /// - Parameter interval: How often it looks. At first all is taken to answer.
  func follow(every interval: Duration = .seconds(5), _ tell: (_ answers: Bool) -> Void) async {
    var last = true
    while (try? await Task.sleep(for: interval)) != nil {
      let answers = await report().problems.isEmpty
      if answers != last { tell(answers) }
      last = answers
    }
  }

  /// Without what only the log may hold: paths and SQL.
  private static func text(of error: any Error) -> String {
    error is TimeLimitPassed ? "\(error)" : Status(reporting: error).message
  }
}

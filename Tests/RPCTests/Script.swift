import NIOConcurrencyHelpers
import RPC

/// What a server's handlers are to do, one attempt after the other, and what they were asked.
final class Script: Sendable {
  private struct State {
    var failures: [Status]
    var seen: [String?] = []
  }
  private let state: NIOLockedValueBox<State>

  init(_ failures: [Status]) { state = NIOLockedValueBox(State(failures: failures)) }

  /// So many failures with this code, then success.
  convenience init(_ count: Int, _ code: Status.Code = .unavailable) {
    self.init(Array(repeating: Status(code, "as told"), count: count))
  }

  /// `grpc-previous-rpc-attempts` of each attempt.
  var seen: [String?] { state.withLockedValue { $0.seen } }
  var attempts: Int { seen.count }

  /// Fails as the script says.
  func next(_ context: ServerContext) throws {
    let failure = state.withLockedValue { state in
      state.seen.append(context.metadata["grpc-previous-rpc-attempts"])
      return state.failures.isEmpty ? nil : state.failures.removeFirst()
    }
    if let failure { throw failure }
  }

  static func pushback(_ value: String) -> Status {
    Status(.unavailable, "as told", metadata: ["grpc-retry-pushback-ms": value])
  }
}

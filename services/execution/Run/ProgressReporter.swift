import Messages
import Synchronization

/// Stores what a running tool reports, at most one report every `interval`. The newest one in between is held back and
/// can be taken, to be stored with the step's completion: so a fast tool's report costs no write of its own.
final class ProgressReporter: Sendable {
  static let interval = Duration.milliseconds(50)

  private struct State {
    var lastStored = ContinuousClock.now
    var unstored: Transition?
    var isClosed = false
  }

  private let missionID: String
  private let lease: HeldLease
  private let store: MissionStore
  private let state = Mutex(State())

  init(missionID: String, lease: HeldLease, store: MissionStore) {
    self.missionID = missionID
    self.lease = lease
    self.store = store
  }

  /// - Parameter fraction: of the tool's work, 0 to 1.
  func report(_ fraction: Double, _ message: String) async {
    let report = Transition.report(
      .execution, fraction: fraction, message: message.storable(atMost: StepFailure.maximumMessage))
    let isDue = state.withLock { state in
      guard !state.isClosed else { return false }
      state.unstored = report
      guard ContinuousClock.now - state.lastStored >= Self.interval else { return false }
      state.lastStored = .now
      state.unstored = nil
      return true
    }
    guard isDue else { return }
    do {
      try await store.change(missionID, under: lease, [report])
    } catch {
      // The mission was ended or taken over meanwhile, or its next state will say that storage fails.
      return
    }
  }

  /// Takes no more reports: the tool has ended, or goes on without anybody waiting for it.
  func close() { state.withLock { $0.isClosed = true } }

  /// The newest report that was held back.
  func takeUnstored() -> Transition? {
    state.withLock { state in
      defer { state.unstored = nil }
      return state.unstored
    }
  }
}

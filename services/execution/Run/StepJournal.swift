import Messages
import RPC
import Storage
import Synchronization

/// What a run writes, in order, while the run goes on ahead of it: the next step is worked out while the one before is
/// on its way to the disk.
///
/// ```
/// step 1 ──write──▶ step 2 ──write──▶ step 3 …                   the run, on `mission` as it will be
///             └──────────┴──▶ commit 1 ──▶ commit 2 + 3 …        the database
/// ```
///
/// Changes are applied here first, by the same state machine that guards the database. What is handed in while a
/// commit is under way is stored together in the next one; each step has its own record and events all the same.
///
/// What holds after a crash: what is stored is a run's beginning without a hole, so the run goes on with the first step
/// whose end is not stored, and no step before it runs again. So whatever must not be done twice, or not before it is
/// certain that the mission still runs, waits for `settled` first. Where a write is refused (a command has ended or
/// interrupted the run, or changed what its step rests on; the lease is lost), nothing that was handed in after it is
/// stored either.
final class StepJournal: Sendable {
  /// A change that a run makes.
  struct Entry: Sendable {
    var transitions: [Transition]
    /// Sets what the transitions rest on.
    var prepare: @Sendable (inout Mission) -> Void = { _ in }
    /// Effects beyond those of the transitions.
    var effects: [Effect] = []
    /// What else is written in the transaction.
    var alongside: @Sendable (WriteConnection) throws -> Void = { _ in }
    /// What this is the end of, if it is one.
    var basis: StepBasis?
  }

  private struct State {
    /// As it will be once everything is stored.
    var mission: Mission
    /// The number of its last event then; nil where that is not known.
    var sequence: Int64?
    /// Not yet in the hands of the database's writer.
    var waiting: [Entry] = []
    /// The database's writer will come for what waits.
    var isHandedIn = false
    /// Effects of those that wait.
    var effects: [Effect] = []
    /// The mission and the number of its last event before those that wait.
    var former: Mission
    var before: Int64?
    /// How many commits are under way.
    var underWay = 0
    /// Another change came in between, and `mission` does not know of it yet.
    var isBehind = false
    /// Why a write was refused: the run ends.
    var refusal: (any Error)?
    var sleepers: [CheckedContinuation<Void, Never>] = []
  }

  /// What a commit is made of.
  private struct Batch: Sendable {
    let entries: [Entry]
    let change: MissionStore.Change
    let before: Int64?
  }

  /// What became of a commit.
  private struct Stored: Sendable {
    var mission: Mission
    var sequence: Int64
    /// Whether it is what was expected. Else another change came in between.
    var isAsExpected = true
  }

  let lease: HeldLease
  private let store: MissionStore
  private let trace: String
  private let state: Mutex<State>

  /// - Parameters:
  ///   - mission: as it is stored.
  ///   - sequence: the number of its last event, if that is known.
  ///   - trace: the `traceparent` of the mission's run.
  init(_ mission: Mission, sequence: Int64?, under lease: HeldLease, in store: MissionStore, trace: String) {
    self.lease = lease
    self.store = store
    self.trace = trace
    state = Mutex(State(mission: mission, sequence: sequence, former: mission))
  }

  /// Hands a change in, and gives the mission as it will be. Throws what the state machine says to it, `StepOutdated`,
  /// and the reason for which an earlier write was refused.
  ///
  /// - Parameter mayWait: leaves it to the next write, which comes at once, to hand in this one too.
  @discardableResult
  func write(_ entry: Entry, mayWait: Bool = false) throws -> Mission {
    let mission = try state.withLock { state in
      if let refusal = state.refusal { throw refusal }
      var mission = state.mission
      try entry.basis?.check(against: mission)
      let effects = try mission.change(by: entry.transitions, prepare: entry.prepare) + entry.effects
      if state.waiting.isEmpty { (state.former, state.before) = (state.mission, state.sequence) }
      state.mission = mission
      state.sequence = state.sequence.map { $0 + effects.eventCount }
      state.waiting.append(entry)
      state.effects += effects
      return mission
    }
    if !mayWait { handIn() }
    return mission
  }

  /// Waits until everything is stored, and gives the mission as it is then. Throws the reason why something is not.
  func settled() async throws -> Mission {
    await ended()
    return try state.withLock { state in
      if let refusal = state.refusal { throw refusal }
      return state.mission
    }
  }

  /// Waits until no commit is under way.
  func ended() async {
    handIn()
    await withCheckedContinuation { continuation in
      let isIdle = state.withLock { state in
        if state.underWay > 0 { state.sleepers.append(continuation) }
        return state.underWay == 0
      }
      if isIdle { continuation.resume() }
    }
  }

  /// A commit is handed in only once the one before has taken what waited: so they come in the order of the writes.
  private func handIn() {
    let isDue = state.withLock { state in
      guard !state.waiting.isEmpty, !state.isHandedIn else { return false }
      state.isHandedIn = true
      state.underWay += 1
      return true
    }
    if isDue { store.database.handIn { try self.store(self.take(), $0) } done: { self.ended($0) } }
  }

  // MARK: - On the writer's thread

  private func take() -> Batch {
    state.withLock { state in
      defer { (state.waiting, state.effects, state.isHandedIn) = ([], [], false) }
      return Batch(
        entries: state.waiting,
        change: MissionStore.Change(
          former: state.former, mission: state.mission, transitions: state.waiting.flatMap(\.transitions),
          effects: state.effects),
        before: state.isBehind ? nil : state.before)
    }
  }

  private func store(_ batch: Batch, _ connection: WriteConnection) throws -> Stored {
    if let refusal = state.withLock({ $0.refusal }) { throw refusal }
    try lease.lease.check(in: connection)
    let stored = try expected(batch, connection) ?? anew(batch, connection)
    if stored.mission.state.isTerminal {
      try MissionStore.endOutput(of: stored.mission, connection)
      try lease.lease.drop(in: connection)
    }
    return stored
  }

  /// Stores what was worked out ahead; nil where it does not follow from what is stored.
  private func expected(_ batch: Batch, _ connection: WriteConnection) throws -> Stored? {
    guard let before = batch.before,
      let last = try MissionStore.store(batch.change, after: before, trace: trace, connection)
    else { return nil }
    for entry in batch.entries { try entry.alongside(connection) }
    return Stored(mission: batch.change.mission, sequence: last)
  }

  /// Another change came in between: makes each change on what is stored, up to the first that is refused.
  private func anew(_ batch: Batch, _ connection: WriteConnection) throws -> Stored {
    let id = batch.change.mission.id
    var stored: Stored?
    var refusal: (any Error)?
    for entry in batch.entries where refusal == nil {
      do {
        let mission = try connection.savepoint {
          try entry.basis?.check(against: MissionStore.load(id, connection).mission)
          let mission = try MissionStore.change(
            id, entry.transitions, prepare: entry.prepare, effects: entry.effects, trace: trace, connection)
          try entry.alongside(connection)
          return mission
        }
        stored = Stored(mission: mission, sequence: 0, isAsExpected: false)
      } catch {
        guard stored != nil else { throw error }
        refusal = error
      }
    }
    guard var stored else { throw Status(.internalError, "nothing was to be stored of mission \(id)") }
    stored.sequence = try MissionStore.load(id, connection).sequence
    state.withLock { state in
      state.isBehind = true
      state.refusal = state.refusal ?? refusal
    }
    return stored
  }

  private func ended(_ result: Result<Stored, any Error>) {
    let sleepers = state.withLock { state -> [CheckedContinuation<Void, Never>] in
      state.underWay -= 1
      switch result {
      case .success(let stored):
        // While others are under way or wait they do not know of it either; the last of them tells.
        if !stored.isAsExpected, state.underWay == 0, state.waiting.isEmpty {
          (state.mission, state.sequence, state.isBehind) = (stored.mission, stored.sequence, false)
        }
      case .failure(let error): state.refusal = state.refusal ?? error
      }
      guard state.underWay == 0 else { return [] }
      defer { state.sleepers = [] }
      return state.sleepers
    }
    if case .success(let stored) = result, stored.mission.state.isTerminal { lease.end(.released) }
    for sleeper in sleepers { sleeper.resume() }
  }
}

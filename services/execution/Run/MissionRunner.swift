import Logging
import Messages
import Metrics
import ServiceKit
import Storage
import Synchronization

/// Runs what the queue says is next, at most `limit` missions at a time: those that have begun before new ones, and of
/// these in the order of `FairChoice`; of each tool as many as it has places.
///
/// ```
/// commits (here, elsewhere), a timer, the end of a run, a free place at a tool
///    └─▶ look: stop what was ended or interrupted; claim as many as there is room for
///          └─▶ run each under its lease ─▶ release; what is to run all the same waits in the queue again
/// every third of the leases' duration: renew those of all runs in one write; stop what was lost
/// shortly before a lease ends: stop its run, whatever has become of the renewal
/// ```
///
/// Any number of processes may do so with one database. A process that dies or freezes loses its missions to the others
/// once its leases have expired; one that is stopped gives them back at once.
final class MissionRunner: Sendable {
  /// How often to look without having been woken.
  static let pollInterval = Duration.milliseconds(500)
  /// How often to ask whether another process has stopped a mission.
  private static let stopInterval = Duration.milliseconds(25)
  /// A run is stopped this part of the leases' duration before its lease ends: by then nothing of its tool runs.
  private static let margin = 10

  private struct Running {
    let claim: Claim
    let task: Task<Void, Never>
    var lease: HeldLease { claim.lease }
  }

  private struct State {
    /// By numbers of their own: a mission that was lost and claimed again may run twice for a moment, until the former
    /// run has stopped.
    var running: [Int: Running] = [:]
    var lastNumber = 0
    var isStopped = false

    func runs(of id: String, before version: Int64 = .max) -> [Running] {
      running.values.filter { $0.claim.mission.id == id && $0.claim.mission.version < version }
    }
  }

  private let store: MissionStore
  private let holder: LeaseHolder
  let limit: Int
  let terms: QueueTerms
  private let logger: Logger
  private let runClaim: @Sendable (Claim) async -> Void
  private let wakeUps: (stream: AsyncStream<Void>, continuation: AsyncStream<Void>.Continuation)
  private let lostLeases = Counter(label: BuddySeries.leasesLost.name)
  private let state = Mutex(State())

  /// - Parameters:
  ///   - limit: how many missions run at a time, 1 or more.
  ///   - terms: its places of tools are those that `run` takes.
  ///   - run: takes one mission to its end; is cancelled to stop it.
  init(
    store: MissionStore, holder: LeaseHolder, limit: Int, terms: QueueTerms = QueueTerms(), logger: Logger,
    run: @escaping @Sendable (Claim) async -> Void
  ) {
    self.store = store
    self.holder = holder
    self.limit = limit
    self.terms = terms
    self.logger = logger
    runClaim = run
    wakeUps = store.database.listen(MissionStore.Topic.missions)
    terms.places.whenFreed { [wakeUps] in wakeUps.continuation.yield() }
  }

  var runningCount: Int { state.withLock { $0.running.count } }

  /// Looks for work and keeps the leases alive until the task is cancelled or the database closed. What it has started
  /// goes on until `stopAll`.
  func run() async {
    wakeUps.continuation.yield()
    await withTaskGroup(of: Void.self) { group in
      group.addTask {
        for await _ in self.wakeUps.stream { await self.look() }
      }
      group.addTask {
        while (try? await Task.sleep(for: Self.pollInterval)) != nil { self.wakeUps.continuation.yield() }
      }
      group.addTask {
        while (try? await Task.sleep(for: self.holder.duration / 3)) != nil { await self.renewLeases() }
      }
      group.addTask {
        while (try? await Task.sleep(for: self.stopOutlived())) != nil {}
      }
      await group.next()
      group.cancelAll()
    }
  }

  /// Stops what runs of a mission that somebody has ended or interrupted, wherever it runs, and returns when nothing of
  /// it runs any more: at the latest when the lease of a process that does not answer has expired.
  ///
  /// - Parameter version: what the command made the mission's; a run that began after it goes on.
  ///
  /// Throws `CancellationError` where the caller does not wait for that.
  func stop(_ id: String, before version: Int64 = .max) async throws {
    while true {
      let runs = interrupt(id, before: version)
      for run in runs { await run.task.value }
      if try await store.hasStopped(id) { return }
      try await Task.sleep(for: Self.stopInterval)
    }
  }

  /// Stops what runs here of a mission, without waiting for it.
  @discardableResult
  private func interrupt(_ id: String, before version: Int64 = .max) -> [Running] {
    let runs = state.withLock { $0.runs(of: id, before: version) }
    for run in runs { run.task.cancel() }
    return runs
  }

  /// Stops what runs here of a mission that has ended, without waiting for it.
  func cancelRuns(of id: String) { interrupt(id) }

  /// Claims nothing more; what runs goes on.
  func stopClaiming() {
    state.withLock { $0.isStopped = true }
  }

  /// Stops all work here and gives the leases back. What was running goes on in another process, or in the next one.
  func stopAll() async {
    let all = state.withLock { state in
      state.isStopped = true
      return Array(state.running.values)
    }
    for running in all { running.task.cancel() }
    for running in all { await running.task.value }
  }

  // MARK: - Claiming

  /// Does what the database asks for now.
  func look() async {
    do {
      let attention = try await store.attention(of: holder)
      for id in attention.ended { interrupt(id) }
      if !attention.isAnyWaiting { terms.places.areAwaited([]) }
      let room = state.withLock { $0.isStopped ? 0 : limit - $0.running.count }
      guard attention.isAnyWaiting, room > 0 else { return }
      let claims = try await store.claim(by: holder, limit: room, terms: terms) { [logger] id, error in
        logger.error("a mission cannot be begun", metadata: ["mission": "\(id)", "error": "\(error)"])
      }
      for claim in claims { start(claim) }
    } catch StorageError.closed {
      return
    } catch {
      terms.places.keep(only: state.withLock { Set($0.running.values.map(\.lease.lease)) })
      logger.error("missions could not be claimed; trying again", metadata: ["error": "\(error)"])
    }
  }

  private func start(_ claim: Claim) {
    state.withLock { state in
      state.lastNumber += 1
      let number = state.lastNumber
      let task = Task {
        await runClaim(claim)
        await ended(claim, number)
      }
      if state.isStopped { task.cancel() }
      state.running[number] = Running(claim: claim, task: task)
    }
  }

  private func ended(_ claim: Claim, _ number: Int) async {
    let (id, lease) = (claim.mission.id, claim.lease)
    terms.places.leave(lease.lease)
    if lease.end(.released) {
      do {
        try await store.release([lease.lease])
      } catch {
        logger.error("a lease was not released; it will expire", metadata: ["mission": "\(id)", "error": "\(error)"])
      }
    }
    if lease.ending == .lost {
      lostLeases.increment()
      logger.warning(
        "a mission's lease was lost; what it came to here since then was not stored",
        metadata: ["mission": "\(id)", "fence": "\(lease.lease.fence)"])
    }
    state.withLock { $0.running[number] = nil }
    wakeUps.continuation.yield()
  }

  // MARK: - Keeping

  private func renewLeases() async {
    let held = state.withLock { $0.running.values.filter { $0.lease.ending == nil } }
    guard !held.isEmpty else { return }
    let liveUntil = ContinuousClock.now + holder.duration
    do {
      let (kept, taken) = try await store.renew(held.map(\.lease.lease), of: holder)
      for running in held {
        if kept.contains(running.lease.lease) {
          running.lease.extend(until: liveUntil)
        } else {
          if taken.contains(running.lease.lease) { running.lease.end(.lost) }
          running.task.cancel()
        }
      }
    } catch {
      logger.error("leases could not be renewed; trying again", metadata: ["error": "\(error)"])
    }
  }

  /// Stops the runs whose leases are about to end, so that nothing of them runs any more when others may claim their
  /// missions, and gives the time until the next of them is due. It writes nothing: a database that does not answer
  /// keeps a renewal waiting for longer than a lease lasts.
  private func stopOutlived() -> Duration {
    let now = ContinuousClock.now
    let margin = holder.duration / Self.margin
    var pause = margin
    for running in state.withLock({ Array($0.running.values) }) where running.lease.ending == nil {
      let left = running.lease.liveUntil - margin - now
      if left > .zero {
        pause = min(pause, left)
      } else {
        running.lease.end(.lost)
        running.task.cancel()
      }
    }
    return pause
  }
}

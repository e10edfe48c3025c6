import Synchronization

/// What a snapshot's thread does next.
typealias SnapshotJob = @Sendable (any Snapshot) -> Void

extension Database {
  /// Stops all writing and fixes the state of this moment.
  ///
  /// Writers wait until `release` or until `limit` has passed; none is refused. Whatever was answered before this
  /// returns is in the snapshot, and nothing that is written after it. On an engine that several processes share, those
  /// of all of them wait; the others' give up as `busy` after their ``DatabaseOptions/busyTimeout``.
  public func hold(limit: Duration) async throws -> HeldSnapshot {
    let jobs = Mailbox<SnapshotJob>()
    let pause = WriterPause(limit: limit) { _ = jobs.put { try? $0.letWritersGo() } }
    Task {
      do {
        try await write { $0.afterCommit { pause.block() } }
      } catch {
        pause.fail(error)
      }
    }
    try await pause.reached()
    do {
      let thread = try await Worker.start(name: "storage-snapshot") { [engine] ready in
        try engine.withSnapshot { snapshot in
          ready()
          while let job = jobs.take(upTo: 1)?.first { job(snapshot) }
        }
      }
      return HeldSnapshot(pause: pause, jobs: jobs, thread: thread, migrations: migrations)
    } catch {
      pause.release()
      throw error
    }
  }
}

/// The state of a database at one moment, on a connection of its own, while the writers wait or after they went on.
public final class HeldSnapshot: Sendable {
  private let pause: WriterPause
  private let jobs: Mailbox<SnapshotJob>
  private let thread: Worker
  private let migrations: [Migration]
  private let isEnded = Atomic(false)

  init(pause: WriterPause, jobs: Mailbox<SnapshotJob>, thread: Worker, migrations: [Migration]) {
    self.pause = pause
    self.jobs = jobs
    self.thread = thread
    self.migrations = migrations
  }

  deinit { abandon() }

  /// Lets the writers go on; the snapshot stays as it is. Throws ``HoldExpired`` if they had done so by themselves:
  /// then this state need not belong together with that of other databases that were held.
  public func release() throws {
    guard pause.release() else { throw HoldExpired(limit: pause.limit) }
    _ = jobs.put { try? $0.letWritersGo() }
  }

  /// Reads from the snapshot.
  public func read<T: Sendable>(_ body: @escaping @Sendable (ReadConnection) throws -> T) async throws -> T {
    try await run { try body(ReadConnection(session: $0.session)) }
  }

  /// Writes the snapshot into a new SQLite file at `path`, readable by its owner only, whatever the database's own
  /// engine is. A file that is there already is an error. Ends early, with `CancellationError`, after `end`.
  ///
  /// Until the snapshot has ended SQLite's log cannot be cut behind it: it grows with what is written meanwhile.
  public func copy(to path: String) async throws {
    try await run { [self] snapshot in
      try snapshot.copy(to: path, migrations) { self.isEnded.load(ordering: .relaxed) }
    }
  }

  /// Lets the writers go on if they wait, and closes the connection. Calling it twice is fine.
  public func end() async {
    abandon()
    await thread.join()
  }

  private func abandon() {
    isEnded.store(true, ordering: .relaxed)
    pause.release()
    jobs.close()
  }

  private func run<T: Sendable>(_ body: @escaping @Sendable (any Snapshot) throws -> T) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
      let isTaken = jobs.put { snapshot in continuation.resume(with: Result { try body(snapshot) }) }
      if !isTaken { continuation.resume(throwing: StorageError.closed) }
    }
  }
}

/// The writers went on before they were released.
public struct HoldExpired: Error, Sendable, Hashable, CustomStringConvertible {
  public let limit: Duration

  public init(limit: Duration) { self.limit = limit }

  public var description: String { "the writers were held for \(limit), as long as allowed, and went on" }
}

/// A connection whose transaction stays at the state it found; used by one thread.
protocol Snapshot {
  var session: any Session { get }
  /// Gives back what keeps the writers of other processes waiting, if anything.
  func letWritersGo() throws
  /// Writes everything into a new SQLite file. `isCancelled` is asked now and then.
  func copy(to path: String, _ migrations: [Migration], isCancelled: @escaping () -> Bool) throws
}

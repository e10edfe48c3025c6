import Synchronization

/// A closure waiting for its turn. `run` returns the reply, which is given once the turn's transaction has ended:
/// with nil when what it wrote is durable, else with the reason why it is not.
struct WriteJob: Sendable {
  typealias Reply = @Sendable ((any Error)?) -> Void

  let run: @Sendable (WriteConnection) throws -> Reply
  let fail: @Sendable (any Error) -> Void
}

/// The one writer: a thread that takes whatever is waiting and runs it in one transaction (group commit).
///
/// While a commit waits for the disk, the next turn's closures gather; so the busier the service, the more of them
/// share one flush, and an idle one answers a lone writer at once.
final class Writer: Sendable {
  let mailbox = Mailbox<WriteJob>()
  private let options: DatabaseOptions
  private let signals: CommitSignals
  private let counters = Mutex(DatabaseStatistics())
  private let thread = Mutex<Worker?>(nil)

  init(options: DatabaseOptions, signals: CommitSignals) {
    self.options = options
    self.signals = signals
  }

  var statistics: DatabaseStatistics {
    var result = counters.withLock { $0 }
    result.waitingWrites = mailbox.count
    return result
  }

  /// Starts the thread; returns once the database is open and `setUp` has run on it.
  func start(_ engine: any Engine, setUp: @escaping @Sendable (any Session) throws -> Void) async throws {
    let worker = try await Worker.start(name: "storage-writer") { ready in
      try engine.withWriter { session in
        try setUp(session)
        ready()
        self.serve(WriteConnection(session: session, signals: self.signals))
      }
    }
    thread.withLock { $0 = worker }
  }

  /// Serves what is already waiting, then closes the connection.
  func close() async {
    mailbox.close()
    await thread.withLock { $0 }?.join()
  }

  private func serve(_ connection: WriteConnection) {
    let clock = ContinuousClock()
    while let jobs = mailbox.take(upTo: options.largestBatch) {
      let start = clock.now
      var rest = jobs[...]
      while !rest.isEmpty { rest = transaction(rest, connection) }
      gather(after: jobs.count, took: clock.now - start)
    }
  }

  /// Gives those who were just answered a moment to come back with their next work. Without it writers who go on at once
  /// would be two crowds that take turns, each with half of a commit's possible writers.
  private func gather(after answered: Int, took: Duration) {
    let waiting = mailbox.count
    // A lone writer waits for nobody.
    guard waiting > 0 else { return }
    mailbox.gather(min(answered + waiting, options.largestBatch), within: took / Self.gathering)
  }

  /// Which part of the turn before the gathering for the next one may take.
  private static let gathering = 2

  /// Runs jobs in one transaction and answers them. Returns the jobs it did not come to because the engine gave the
  /// transaction up on the way.
  private func transaction(_ jobs: ArraySlice<WriteJob>, _ connection: WriteConnection) -> ArraySlice<WriteJob> {
    do {
      try connection.session.control(.begin)
    } catch {
      for job in jobs { job.fail(error) }
      return []
    }
    var replies: [WriteJob.Reply] = []
    var actions: [@Sendable () -> Void] = []
    for index in jobs.indices {
      switch attempt(jobs[index], connection) {
      case .wrote(let reply):
        replies.append(reply)
        actions += connection.takeActions()
      case .failed(let error):
        _ = connection.takeActions()
        jobs[index].fail(error)
      case .lostTransaction(let error):
        _ = connection.takeActions()
        jobs[index].fail(error)
        for reply in replies { reply(StorageError.collateral(of: error)) }
        return jobs[(index + 1)...]
      }
    }
    finish(replies, actions, connection.session)
    return []
  }

  private enum Outcome {
    case wrote(WriteJob.Reply)
    case failed(any Error)
    case lostTransaction(any Error)
  }

  private func attempt(_ job: WriteJob, _ connection: WriteConnection) -> Outcome {
    let session = connection.session
    do {
      try session.control(.savepoint)
      let reply = try job.run(connection)
      try session.control(.release)
      return .wrote(reply)
    } catch {
      guard session.isInTransaction else { return .lostTransaction(error) }
      do {
        try session.control(.rollbackToSavepoint)
        try session.control(.release)
        return .failed(error)
      } catch let secondError {
        // Without its savepoint undone, the closure's half of the work would be committed with the others'.
        try? session.control(.rollback)
        return .lostTransaction(secondError)
      }
    }
  }

  private func finish(_ replies: [WriteJob.Reply], _ actions: [@Sendable () -> Void], _ session: any Session) {
    do {
      try session.control(.commit)
    } catch {
      if session.isInTransaction { try? session.control(.rollback) }
      for reply in replies { reply(error) }
      return
    }
    counters.withLock { $0.count(batch: replies.count) }
    options.onCommit?(replies.count)
    for action in actions { action() }
    for reply in replies { reply(nil) }
  }
}

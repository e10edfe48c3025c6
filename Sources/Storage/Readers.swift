import Synchronization

/// A closure waiting for a reader. `run` returns the reply, given once its transaction has ended.
struct ReadJob: Sendable {
  let run: @Sendable (ReadConnection) -> @Sendable () -> Void
  let fail: @Sendable (any Error) -> Void
}

/// Some threads with a read-only connection each, beside the writer: WAL lets them read while it writes.
final class Readers: Sendable {
  private let mailbox = Mailbox<ReadJob>()
  private let threads = Mutex<[Worker]>([])

  func start(_ engine: any Engine, count: Int) async throws {
    for number in 1...max(1, count) {
      let worker = try await Worker.start(name: "storage-read-\(number)") { ready in
        try engine.withReader { session in
          ready()
          self.serve(ReadConnection(session: session))
        }
      }
      threads.withLock { $0.append(worker) }
    }
  }

  func submit(_ job: ReadJob) -> Bool { mailbox.put(job) }

  func close() async {
    mailbox.close()
    for thread in threads.withLock({ $0 }) { await thread.join() }
  }

  private func serve(_ connection: ReadConnection) {
    while let job = mailbox.take(upTo: 1)?.first {
      do {
        try connection.session.control(.beginRead)
      } catch {
        job.fail(error)
        continue
      }
      let reply = job.run(connection)
      // Nothing was written, so there is nothing that ending the transaction could lose.
      try? connection.session.control(.rollback)
      reply()
    }
  }

  /// For a database that was dropped without `close()`: lets the threads end without waiting for them.
  func abandon() { mailbox.close() }
}

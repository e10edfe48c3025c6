import NIOCore
import NIOPosix
import Synchronization

/// The handle of work that runs on a blocking thread: its cancellation flag and its way to report progress.
final class Work: Sendable {
  private let cancelled = Atomic<Bool>(false)
  private let reports: AsyncStream<(Double, String)>.Continuation
  private let gate = ProgressGate()

  fileprivate init(reports: AsyncStream<(Double, String)>.Continuation) {
    self.reports = reports
  }

  /// To be called in every loop that can run for longer than some milliseconds.
  func checkCancellation() throws {
    if cancelled.load(ordering: .relaxed) { throw CancellationError() }
  }

  /// Does not wait: a report is dropped rather than holding up the work.
  func report(_ fraction: Double, _ message: String) {
    if gate.admits(fraction) { reports.yield((fraction, message)) }
  }

  fileprivate func cancel() {
    cancelled.store(true, ordering: .relaxed)
  }
}

/// Threads for the tools alone, so that long work of theirs holds up nothing else that blocks. Two per core: a tool that
/// waits must not keep one that computes from its core.
private let toolThreads: NIOThreadPool = {
  let pool = NIOThreadPool(numberOfThreads: max(4, 2 * System.coreCount))
  pool.start()
  return pool
}()

/// Runs work that computes or blocks on a thread of the tools' own, so that neither an event loop nor the cooperative pool
/// is held. Cancelling the task makes the work's next `checkCancellation` throw.
func onWorkerThread<T: Sendable>(
  progress: @escaping ToolProgress, _ body: @escaping @Sendable (Work) throws -> T
) async throws -> T {
  let (stream, reports) = AsyncStream.makeStream(of: (Double, String).self, bufferingPolicy: .bufferingNewest(16))
  let work = Work(reports: reports)
  async let forwarded: Void = { for await (fraction, message) in stream { await progress(fraction, message) } }()
  let result: Result<T, any Error> = await withTaskCancellationHandler {
    do {
      return .success(try await toolThreads.runIfActive { try body(work) })
    } catch {
      return .failure(error)
    }
  } onCancel: {
    work.cancel()
  }
  reports.finish()
  await forwarded
  try Task.checkCancellation()
  return try result.get()
}

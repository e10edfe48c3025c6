import NIOConcurrencyHelpers
import NIOCore

/// What a connection does once all that could run has run: write, in one go, whatever came of it.
protocol TurnDelegate: AnyObject {
  /// - Returns: Whether another turn is needed, because there is more to write than one turn should.
  func turnEnded() -> Bool
}

/// Runs tasks on an event loop, in turns: take in bytes, run every task that became ready, write once.
///
/// `@unchecked Sendable`: everything but `remote` is only touched on the loop, which `turn` asserts.
final class LoopRunner: TaskExecutor, @unchecked Sendable {
  /// Jobs run in one turn before the loop gets to do something else.
  private static let jobsPerTurn = 512

  let loop: any EventLoop
  weak var delegate: (any TurnDelegate)?
  private var jobs: [UnownedJob] = []
  private var running: [UnownedJob] = []
  private var isRunning = false
  private var isScheduled = false
  /// Jobs that other threads made ready.
  private let remote = NIOLockedValueBox<[UnownedJob]>([])

  init(loop: any EventLoop) { self.loop = loop }

  func enqueue(_ job: consuming ExecutorJob) {
    let job = UnownedJob(job)
    if loop.inEventLoop {
      jobs.append(job)
      schedule()
    } else {
      let isFirst = remote.withLockedValue { jobs in
        jobs.append(job)
        return jobs.count == 1
      }
      if isFirst { loop.execute { self.turn() } }
    }
  }

  /// Makes sure that a turn comes. During one nothing is needed: it looks again before it ends.
  func schedule() {
    guard !isRunning, !isScheduled else { return }
    isScheduled = true
    loop.execute { self.turn() }
  }

  /// The caller promises to call `turn` before it returns to the loop: what becomes ready until then waits for it.
  func hold() { isScheduled = true }

  func turn() {
    loop.assertInEventLoop()
    guard !isRunning else { return }
    isRunning = true
    runJobs()
    let isUnfinished = delegate?.turnEnded() ?? false
    isRunning = false
    isScheduled = false
    if isUnfinished || !jobs.isEmpty { schedule() }
  }

  private func runJobs() {
    remote.withLockedValue { remote in
      guard !remote.isEmpty else { return }
      jobs.append(contentsOf: remote)
      remote.removeAll(keepingCapacity: true)
    }
    let executor = asUnownedTaskExecutor()
    var count = 0
    while !jobs.isEmpty, count < Self.jobsPerTurn {
      swap(&jobs, &running)
      count += running.count
      for job in running { job.runSynchronously(on: executor) }
      running.removeAll(keepingCapacity: true)
    }
  }
}

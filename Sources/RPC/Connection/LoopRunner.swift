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
///
/// `@exclusivity(unchecked)`, here and where else each call passes: checking at run time that no two accesses to a
/// property overlap is 6 % of what a unary call costs. They cannot: one thread touches it, and nothing that a mutation
/// calls leads back to it.
final class LoopRunner: TaskExecutor, @unchecked Sendable {
  /// Jobs run in one turn before what came of them is written.
  private static let jobsPerTurn = 512
  /// Bytes unpacked (`worked`) before the loop gets to serve other connections.
  private static let workPerSlice = 1024 * 1024
  /// After so many jobs is looked at the clock: one that serves a small call takes little longer than a look.
  private static let jobsPerLook = 16

  let loop: any EventLoop
  weak var delegate: (any TurnDelegate)?
  @exclusivity(unchecked) private var jobs: [UnownedJob] = []
  @exclusivity(unchecked) private var running: [UnownedJob] = []
  @exclusivity(unchecked) private var isRunning = false
  @exclusivity(unchecked) private var isScheduled = false
  /// The jobs that are left wait for the loop to serve others (`LoopPace`).
  @exclusivity(unchecked) private var isPaused = false
  /// Bytes that were unpacked since no job was left or the loop served others, and when the time since then is up;
  /// nil until the first look at the clock.
  @exclusivity(unchecked) private var work = 0
  @exclusivity(unchecked) private var sliceEnd: Int64?
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

  /// A job has unpacked so many bytes, which took far longer than a job that serves a small call.
  func worked(_ bytes: Int) { work += bytes }

  func turn() {
    loop.assertInEventLoop()
    guard !isRunning else { return }
    isRunning = true
    if !isPaused { runJobs() }
    let isUnfinished = delegate?.turnEnded() ?? false
    isRunning = false
    isScheduled = false
    if isUnfinished || (!isPaused && !jobs.isEmpty) { schedule() }
  }

  /// The loop has served others.
  func goOn() {
    isPaused = false
    turn()
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
      var next = 0
      while next < running.count, !isPaused {
        running[next].runSynchronously(on: executor)
        next += 1
        count += 1
        if work >= Self.workPerSlice || (count % Self.jobsPerLook == 0 && isLate()) { isPaused = true }
      }
      if next < running.count { jobs.insert(contentsOf: running[next...], at: 0) }
      running.removeAll(keepingCapacity: true)
      if isPaused { break }
    }
    if isPaused { LoopPace.of(loop).wait(self) }
    guard isPaused || jobs.isEmpty else { return }
    work = 0
    sliceEnd = nil
  }

  private func isLate() -> Bool {
    let now = Deadline.now
    if let sliceEnd { return now >= sliceEnd }
    sliceEnd = now + LoopPace.slice
    return false
  }
}

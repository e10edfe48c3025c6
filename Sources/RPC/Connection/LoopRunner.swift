import NIOConcurrencyHelpers
import NIOCore

/// What a connection does once all that could run has run: write, in one go, whatever came of it.
protocol TurnDelegate: AnyObject {
  /// - Returns: Whether another turn is needed, because there is more to write than one turn should.
  func turnEnded() -> Bool
}

/// Runs tasks on an event loop, in turns: take in bytes, run every task that became ready, write once.
///
/// A turn that leaves something to do is followed by another one directly, for a slice of time (`LoopPace.slice`) from
/// the first look at the clock on; then the loop serves others in between (`LoopPace`). Nothing but a turn that leaves
/// nothing ends the slice: a writer with a reader as fast as it does one job a turn, for ever.
///
/// `@unchecked Sendable`: everything but `remote` is only touched on the loop, which `turn` asserts.
///
/// `@exclusivity(unchecked)`, here and where else each call passes: checking at run time that no two accesses to a
/// property overlap is 6 % of what a unary call costs. They cannot: one thread touches it, and nothing that a mutation
/// calls leads back to it.
final class LoopRunner: TaskExecutor, @unchecked Sendable {
  /// Jobs run in one turn before what came of them is written.
  private static let jobsPerTurn = 512
  /// After so many jobs is looked at the clock: one that serves a small call takes little longer than a look.
  private static let jobsPerLook = 16
  /// After so much work (`worked`), too.
  private static let workPerLook = 64 * 1024

  let loop: any EventLoop
  weak var delegate: (any TurnDelegate)?
  @exclusivity(unchecked) private var jobs: [UnownedJob] = []
  @exclusivity(unchecked) private var running: [UnownedJob] = []
  /// What tasks that gave way go on with, in the next turn.
  private var postponed: [@Sendable () -> Void] = []
  @exclusivity(unchecked) private var isRunning = false
  @exclusivity(unchecked) private var isScheduled = false
  /// What is left waits for the loop to serve others (`LoopPace`).
  @exclusivity(unchecked) private var isPaused = false
  /// This turn is one of `LoopPace`, which knows when the next may be.
  private var isPaced = false
  /// Since the last look at the clock.
  @exclusivity(unchecked) private var work = 0
  /// When the slice ends; nil until the first look at the clock.
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

  /// Runs `body` in the next turn: whatever is ready by now comes first. On the loop.
  func postpone(_ body: @escaping @Sendable () -> Void) {
    postponed.append(body)
    schedule()
  }

  /// Makes sure that a turn comes. During one nothing is needed: it looks again before it ends.
  func schedule() {
    guard !isRunning, !isScheduled else { return }
    isScheduled = true
    loop.execute { self.turn() }
  }

  /// The caller promises to call `turn` before it returns to the loop: what becomes ready until then waits for it.
  func hold() { isScheduled = true }

  /// A job has read or unpacked so many bytes, which took longer than a job that serves a small call.
  func worked(_ bytes: Int) { work += bytes }

  func turn() {
    loop.assertInEventLoop()
    guard !isRunning else { return }
    isRunning = true
    if !isPaused { runJobs() }
    let isUnfinished = delegate?.turnEnded() ?? false
    isRunning = false
    isScheduled = false
    guard !isPaused else { return }
    if !isUnfinished, jobs.isEmpty, postponed.isEmpty {
      sliceEnd = nil
    } else if isPaced || isLate() {
      isPaused = true
      LoopPace.of(loop).wait(self)
    } else {
      schedule()
    }
  }

  /// The loop has served others.
  /// - Parameter end: When it is to do so again, in nanoseconds of uptime.
  func goOn(until end: Int64) {
    isPaused = false
    sliceEnd = end
    isPaced = true
    turn()
    isPaced = false
  }

  private func runJobs() {
    remote.withLockedValue { remote in
      guard !remote.isEmpty else { return }
      jobs.append(contentsOf: remote)
      remote.removeAll(keepingCapacity: true)
    }
    if !postponed.isEmpty {
      let bodies = postponed
      postponed = []
      for body in bodies { body() }
    }
    let executor = asUnownedTaskExecutor()
    var count = 0
    var isOver = false
    while !jobs.isEmpty, count < Self.jobsPerTurn, !isOver {
      swap(&jobs, &running)
      var next = 0
      while next < running.count, !isOver {
        running[next].runSynchronously(on: executor)
        next += 1
        count += 1
        if count % Self.jobsPerLook == 0 || work >= Self.workPerLook { isOver = isLate() }
      }
      if next < running.count { jobs.insert(contentsOf: running[next...], at: 0) }
      running.removeAll(keepingCapacity: true)
    }
  }

  /// Looks at the clock.
  private func isLate() -> Bool {
    work = 0
    let now = Deadline.now
    if let sliceEnd { return now >= sliceEnd }
    sliceEnd = now + LoopPace.slice
    return false
  }
}

import NIOCore
import NIOPosix

/// The runners of one loop that have more to run than a slice of time may take. They go on one after another, a turn
/// each and again from the first, a slice for all of them together, and between two slices the loop serves every other
/// connection.
///
/// The rest between slices is what makes it do so: NIO polls sockets only once no task is due, so a task that asked for
/// another at once would keep every other connection of the loop waiting for as long as there is work. So do tasks
/// that are due when the slice ends: a runner that went on leaves none behind, but comes back here (`wait`).
///
/// `@unchecked Sendable`: it belongs to its loop's thread, where alone it can be had, and `wait` and `serve` run.
final class LoopPace: @unchecked Sendable {
  /// Nanoseconds of a slice; the last turn of it may take longer.
  static let slice: Int64 = 5_000_000
  private static let rest = TimeAmount.microseconds(100)
  private static let current = ThreadSpecificVariable<LoopPace>()

  private let loop: any EventLoop
  private var waiting = CircularBuffer<LoopRunner>()
  private var isScheduled = false

  private init(loop: any EventLoop) { self.loop = loop }

  /// The loop's own. On the loop.
  static func of(_ loop: any EventLoop) -> LoopPace {
    loop.assertInEventLoop()
    if let known = current.currentValue, known.loop === loop { return known }
    let created = LoopPace(loop: loop)
    current.currentValue = created
    return created
  }

  /// The runner's `goOn` is called in its turn.
  func wait(_ runner: LoopRunner) {
    waiting.append(runner)
    schedule()
  }

  private func schedule() {
    guard !isScheduled else { return }
    isScheduled = true
    loop.scheduleTask(in: Self.rest) { self.serve() }
  }

  private func serve() {
    let end = Deadline.now + Self.slice
    while let runner = waiting.popFirst() {
      runner.goOn(until: end)
      if Deadline.now >= end { break }
    }
    isScheduled = false
    if !waiting.isEmpty { schedule() }
  }
}

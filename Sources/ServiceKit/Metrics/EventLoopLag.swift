import CoreMetrics
import NIOCore
import Synchronization

/// Measures how late event loops are, which is how long whatever they carry has to wait: a task is made due on each
/// again and again, and the time it is run late is recorded.
final class EventLoopLag: Sendable {
  /// How often each loop is looked at.
  static let interval = TimeAmount.milliseconds(500)

  private let probes: [RepeatedTask]

  init(_ group: any EventLoopGroup, in metrics: MetricsRegistry, every interval: TimeAmount = interval) {
    let timer = metrics.timer(BuddySeries.eventLoopLag)
    probes = group.makeIterator().map { loop in
      let due = Due(NIODeadline.now() + interval)
      return loop.scheduleRepeatedTask(initialDelay: interval, delay: interval) { _ in
        let now = NIODeadline.now()
        timer.recordNanoseconds(max(0, (now - due.replace(with: now + interval)).nanoseconds))
      }
    }
  }

  func stop() {
    for probe in probes { probe.cancel() }
  }

  /// When a loop is to run its probe next.
  private final class Due: Sendable {
    private let moment: Mutex<NIODeadline>

    init(_ moment: NIODeadline) {
      self.moment = Mutex(moment)
    }

    /// Gives what it was.
    func replace(with next: NIODeadline) -> NIODeadline {
      moment.withLock { moment in
        defer { moment = next }
        return moment
      }
    }
  }
}

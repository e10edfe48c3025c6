import Messages
import NIOCore
import NIOPosix
import RPC
import Stubs
import Synchronization

/// One source of events and many watchers of it.
final class Fanout {
  /// How long deliveries took, in milliseconds.
  struct Window: CustomStringConvertible {
    let count: Int
    let p50: Double
    let p99: Double
    let longest: Double

    /// How long the service took to store an event: the median, and one of a hundred took longer.
    let stored: (p50: Double, p99: Double)

    init(_ microseconds: [Int32], storing: [Int32]) {
      stored = (Self.at(0.5, storing.sorted()), Self.at(0.99, storing.sorted()))
      let sorted = microseconds.sorted()
      count = sorted.count
      p50 = Self.at(0.5, sorted)
      p99 = Self.at(0.99, sorted)
      longest = Self.at(1, sorted)
    }

    private static func at(_ share: Double, _ sorted: [Int32]) -> Double {
      sorted.isEmpty ? 0 : Double(sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]) / 1000
    }

    var description: String {
      "p50 \(milliseconds(p50)) ms, p99 \(milliseconds(p99)) ms, max \(milliseconds(longest)) ms (\(count) deliveries; "
        + "of this, storing took p50 \(milliseconds(stored.p50)) ms, p99 \(milliseconds(stored.p99)) ms)"
    }
  }

  private let mission: String
  private let progress: ProgressClient
  private let gatewayPort: Int
  private let recorders: [Recorder]
  private var channels: [any Channel] = []
  /// The last event's number; the mission's submission was the first.
  private var sequence: UInt64 = 1

  init(mission: String, progress: ProgressClient, gatewayPort: Int, group: MultiThreadedEventLoopGroup) async throws {
    self.mission = mission
    self.progress = progress
    self.gatewayPort = gatewayPort
    recorders = group.makeIterator().map(Recorder.init)
    // The mission's first event comes through the outbox; the others follow it.
    _ = try await progress.list(
      ListEventsRequest(missionId: mission, wait: GoogleProtobufDuration(.seconds(30))), .timeout(.seconds(60)))
  }

  /// Connects, subscribes, and waits until every watcher has the first event.
  func connect(_ count: Int) async throws {
    for number in 0..<count {
      let recorder = recorders[number % recorders.count]
      let mission = mission
      let channel = try await ClientBootstrap(group: recorder.loop)
        .channelInitializer { channel in
          channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(SocketWatcher(mission: mission, recorder: recorder))
          }
        }
        .connect(host: "127.0.0.1", port: gatewayPort).get()
      channels.append(channel)
    }
    try await untilDelivered(1)
  }

  /// Records events at `rate` for so long, and waits until every watcher has the last.
  func window(seconds: Int, rate: Int) async throws -> Window {
    for recorder in recorders { try await recorder.reset() }
    var storing: [Int32] = []
    let start = ContinuousClock.now
    for number in 0..<seconds * rate {
      // An event that has to wait for the one before counts from when it was due.
      let due = start + .nanoseconds(1_000_000_000 / rate * number)
      if due > .now { try await Task.sleep(until: due, tolerance: .zero) }
      sequence += 1
      for recorder in recorders { recorder.expect(sequence, due) }
      let asked = ContinuousClock.now
      _ = try await progress.record(RecordEventsRequest(events: [event]), .timeout(.seconds(10)))
      storing.append(asked.duration(to: .now).microseconds)
    }
    try await untilDelivered(sequence)
    var all: [Int32] = []
    for recorder in recorders { all += try await recorder.taken() }
    let expected = channels.count * seconds * rate
    guard all.count == expected else { throw Status(.dataLoss, "\(all.count) of \(expected) deliveries came") }
    return Window(all, storing: storing)
  }

  private var event: ProgressEvent {
    ProgressEvent(
      missionId: mission, sequence: sequence, time: .now, type: .stepProgress, step: .execution, percent: 60,
      message: "Reading row \(sequence) of many in the table of sales", state: .running)
  }

  private func untilDelivered(_ sequence: UInt64) async throws {
    let end = ContinuousClock.now + .seconds(60)
    while try await recorders.delivered(sequence) < channels.count {
      guard ContinuousClock.now < end else { throw Status(.deadlineExceeded, "event \(sequence) did not reach all") }
      try await Task.sleep(for: .milliseconds(10))
    }
  }

  func close() async {
    for channel in channels { try? await channel.close() }
  }
}

/// What the watchers of one event loop have seen.
///
/// `@unchecked Sendable`: its state belongs to its loop, but for `due`; the functions for others go there.
final class Recorder: @unchecked Sendable {
  let loop: any EventLoop
  /// When each event was due. Behind a lock, for the loop may read an event before it runs what was enqueued earlier.
  private let due = Mutex<[UInt64: ContinuousClock.Instant]>([:])
  private var microseconds: [Int32] = []
  private var newest: [UInt64: Int] = [:]

  init(_ loop: any EventLoop) {
    self.loop = loop
  }

  /// On the loop: a watcher has event `sequence`.
  func saw(_ sequence: UInt64, at time: ContinuousClock.Instant) {
    newest[sequence, default: 0] += 1
    guard let due = due.withLock({ $0[sequence] }) else { return }
    microseconds.append((time - due).microseconds)
  }

  func expect(_ sequence: UInt64, _ time: ContinuousClock.Instant) {
    due.withLock { $0[sequence] = time }
  }

  func reset() async throws {
    due.withLock { $0 = [:] }
    try await loop.submit { self.microseconds = [] }.get()
  }

  func taken() async throws -> [Int32] { try await loop.submit { self.microseconds }.get() }

  /// How many watchers have event `sequence`.
  func delivered(_ sequence: UInt64) async throws -> Int { try await loop.submit { self.newest[sequence] ?? 0 }.get() }
}

extension Duration {
  fileprivate var microseconds: Int32 {
    Int32(clamping: components.seconds * 1_000_000 + components.attoseconds / 1_000_000_000_000)
  }
}

extension [Recorder] {
  func delivered(_ sequence: UInt64) async throws -> Int {
    var sum = 0
    for recorder in self { sum += try await recorder.delivered(sequence) }
    return sum
  }
}

import ArgumentParser
import Messages
import RPC
import Stubs

/// Runs missions on one installation, each from its submission to its watcher's last event.
struct Course: Sendable {
  private let execution: Client
  private let progress: Client

  init(executionPort: Int, progressPort: Int) {
    execution = Client(host: "127.0.0.1", port: executionPort)
    progress = Client(host: "127.0.0.1", port: progressPort)
  }

  func close() async {
    await execution.close()
    await progress.close()
  }

  /// Runs so many missions, always `concurrency` at a time until the last have begun.
  func window(missions count: Int, concurrency: Int) async throws -> Window {
    let start = ContinuousClock.now
    let times = try await withThrowingTaskGroup(of: Duration.self) { group in
      var times: [Duration] = []
      for index in 0..<count {
        if index >= concurrency, let time = try await group.next() { times.append(time) }
        group.addTask { try await runOne() }
      }
      for try await time in group { times.append(time) }
      return times
    }
    return Window(took: ContinuousClock.now - start, times: times.sorted())
  }

  /// How long one mission took. Throws if it did not go through all six steps and succeed.
  private func runOne() async throws -> Duration {
    let start = ContinuousClock.now
    let mission = try await MissionsClient(execution).submit(
      SubmitMissionRequest(objective: "What is 12.5% of 2,340?"))
    var completed = 0
    var last: MissionState?
    for try await event in try await ProgressClient(progress).watch(WatchEventsRequest(missionId: mission.id)) {
      if event.type == .stepCompleted { completed += 1 }
      last = event.state
    }
    guard completed == 6, last == .succeeded else {
      throw ValidationError("mission \(mission.id) ended \(last.map(\.protoName) ?? "unseen") after \(completed) steps")
    }
    return ContinuousClock.now - start
  }
}

/// What was measured in one go.
struct Window {
  let took: Duration
  /// Of each mission, ascending; not empty.
  let times: [Duration]

  /// Missions a second.
  var rate: Double { Double(times.count) / (took / .seconds(1)) }

  /// How long that share of the missions took at the most, in milliseconds.
  func percentile(_ share: Int) -> Double { times[times.count * share / 100] / .milliseconds(1) }
}

/// Several windows: of each figure the median.
struct Summary: CustomStringConvertible {
  let rate: Double
  let p50: Double
  let p99: Double

  /// - Parameter windows: not empty.
  init(_ windows: [Window]) {
    func median(_ figure: (Window) -> Double) -> Double { windows.map(figure).sorted()[windows.count / 2] }
    rate = median(\.rate)
    p50 = median { $0.percentile(50) }
    p99 = median { $0.percentile(99) }
  }

  var description: String {
    "\(decimal(rate, 1)) missions/s, p50 \(decimal(p50, 2)) ms, p99 \(decimal(p99, 2)) ms"
  }
}

import ArgumentParser
import Messages
import RPC
import Stubs

/// Measures missions of six steps over gRPC against running services: from submission to the watcher's last event.
@main
struct MissionBench: AsyncParsableCommand {
  @Option(help: "Port of the execution service on loopback.") var executionPort: Int
  @Option(help: "Port of the progress service on loopback.") var progressPort: Int
  @Option(help: "How many missions are measured.") var missions = 300
  @Option(help: "How many run before, unmeasured.") var warmUp = 50

  func run() async throws {
    let execution = Client(host: "127.0.0.1", port: executionPort)
    let progress = Client(host: "127.0.0.1", port: progressPort)
    let missionsClient = MissionsClient(execution)
    let progressClient = ProgressClient(progress)
    for _ in 0..<warmUp { _ = try await runOne(missionsClient, progressClient) }
    var times: [Duration] = []
    for _ in 0..<missions { times.append(try await runOne(missionsClient, progressClient)) }
    times.sort()
    print(
      "missions of six steps, one at a time, submit to finished over gRPC: p50 \(milliseconds(times[times.count / 2])) ms, "
        + "p99 \(milliseconds(times[times.count * 99 / 100])) ms (\(missions) missions)")
    await execution.close()
    await progress.close()
  }

  /// How long one mission took. Throws if it did not go through all six steps and succeed.
  private func runOne(_ missions: MissionsClient, _ progress: ProgressClient) async throws -> Duration {
    let start = ContinuousClock.now
    let mission = try await missions.submit(SubmitMissionRequest(objective: "What is 12.5% of 2,340?"))
    var completed = 0
    var last: MissionState?
    for try await event in try await progress.watch(WatchEventsRequest(missionId: mission.id)) {
      if event.type == .stepCompleted { completed += 1 }
      last = event.state
    }
    guard completed == 6, last == .succeeded else {
      throw ValidationError("mission \(mission.id) ended \(last.map(\.protoName) ?? "unseen") after \(completed) steps")
    }
    return ContinuousClock.now - start
  }

  private func milliseconds(_ duration: Duration) -> String {
    let (seconds, attoseconds) = duration.components
    let microseconds = seconds * 1_000_000 + attoseconds / 1_000_000_000_000
    return "\(microseconds / 1_000).\(microseconds % 1_000 / 100)"
  }
}

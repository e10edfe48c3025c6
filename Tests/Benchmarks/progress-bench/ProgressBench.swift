import ArgumentParser
import Messages
import NIOCore
import NIOPosix
import RPC
import Stubs

/// Measures how progress reaches those who watch, against running services: the time from an event to every WebSocket
/// client of the gateway, what a watcher that reads nothing costs the others, and the memory of idle watchers.
@main
struct ProgressBench: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "progress-bench")

  @Option(help: "Port of the gateway on loopback.") var gatewayPort: Int
  @Option(help: "Port of the execution service on loopback.") var executionPort: Int
  @Option(help: "Port of the progress service on loopback.") var progressPort: Int
  @Option(help: "Port of the progress service's metrics on loopback.") var progressAdminPort: Int
  @Option(help: "WebSocket watchers of one mission.") var watchers = 1000
  @Option(help: "Events a second.") var rate = 50
  @Option(help: "Seconds of the first measurement.") var seconds = 20
  @Option(help: "Windows with, and as many without, a watcher that reads nothing.") var rounds = 9
  @Option(help: "Seconds of each of these windows.") var windowSeconds = 5
  @Option(help: "Idle watchers of the progress service; 0 leaves this measurement out.") var idle = 10_000
  @Option(help: "Threads of the clients.") var threads = 1
  @Option(help: "Fail if one of a hundred deliveries takes longer, in milliseconds.") var highestP99 = 50.0
  @Option(help: "Fail if an idle watcher takes more memory, in KiB.") var highestKiB = 20.0
  @Option(help: "Fail if a watcher that reads nothing makes the others' p99 more times as long.") var highestRatio = 1.2

  func run() async throws {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: threads)
    let execution = Client(host: "127.0.0.1", port: executionPort)
    let progress = Client(host: "127.0.0.1", port: progressPort)
    let missions = MissionsClient(execution)
    var isGood = true
    if idle > 0 {
      let idle = IdleWatchers(count: idle, progressPort: progressPort, adminPort: progressAdminPort, missions: missions)
      isGood = try await idle.measure(group) <= highestKiB
    }
    isGood = try await fanout(group, missions, ProgressClient(progress)) && isGood
    await execution.close()
    await progress.close()
    try await group.shutdownGracefully()
    guard isGood else {
      print("a goal is missed: p99 \(highestP99) ms, \(highestKiB) KiB, ratio \(highestRatio)")
      throw ExitCode.failure
    }
  }

  /// - Returns: Whether p99 and ratio are within their goals.
  private func fanout(
    _ group: MultiThreadedEventLoopGroup, _ missions: MissionsClient, _ progress: ProgressClient
  ) async throws -> Bool {
    let mission = try await missions.submit(
      SubmitMissionRequest(objective: "What is 1 + 1?", owner: "progress-bench", requireApproval: true))
    let fanout = try await Fanout(mission: mission.id, progress: progress, gatewayPort: gatewayPort, group: group)
    print(
      "\(watchers) WebSocket watchers of one mission through the gateway, \(rate) events/s, each stored through the "
        + "progress service's Record; from the moment an event is due to each client")
    try await fanout.connect(watchers)
    _ = try await fanout.window(seconds: 2, rate: rate)
    let whole = try await fanout.window(seconds: seconds, rate: rate)
    print("  \(whole)")
    var quiet: [Double] = []
    var disturbed: [Double] = []
    for _ in 0..<rounds {
      quiet.append(try await settled(fanout).p99)
      let stuck = try await StuckWatcher(mission: mission.id, port: gatewayPort, group: group)
      disturbed.append(try await settled(fanout).p99)
      try await stuck.close()
    }
    await fanout.close()
    guard rounds > 0 else { return whole.p99 <= highestP99 }
    let ratio = median(disturbed) / median(quiet)
    print(
      "  with one more that reads nothing: p99 \(milliseconds(median(disturbed))) ms, without it "
        + "\(milliseconds(median(quiet))) ms (medians of \(rounds) windows each, turn by turn): "
        + "ratio \(decimal(ratio))")
    return whole.p99 <= highestP99 && ratio <= highestRatio
  }

  /// A window after a second that does not count: in it, who came last reads what was before, or somebody's connection
  /// is closed.
  private func settled(_ fanout: Fanout) async throws -> Fanout.Window {
    _ = try await fanout.window(seconds: 1, rate: rate)
    return try await fanout.window(seconds: windowSeconds, rate: rate)
  }
}

func median(_ values: [Double]) -> Double {
  let sorted = values.sorted()
  return sorted.isEmpty ? 0 : (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
}

/// With one decimal.
func milliseconds(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }

/// With two decimals.
func decimal(_ value: Double) -> String { "\((value * 100).rounded() / 100)" }

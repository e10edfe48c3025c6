import ArgumentParser
import Messages
import RPC
import Stubs

/// Measures missions of six steps over gRPC against running services: from submission to the watcher's last event.
///
/// Of two installations, given by two ports each, it measures both turn by turn, so that what else the machine does
/// meets both, and tells how much slower the second one is.
@main
struct MissionBench: AsyncParsableCommand {
  @Option(help: "Port of an execution service on loopback; twice to compare two installations.")
  var executionPort: [Int]
  @Option(help: "Port of the progress service beside it.") var progressPort: [Int]
  @Option(help: "How many missions run at a time.") var concurrency = 1
  @Option(help: "How many missions one window measures.") var missions = 300
  @Option(help: "How many windows are measured of each installation; the medians count.") var windows = 5
  @Option(help: "How many missions run before, unmeasured.") var warmUp = 50
  @Option(help: "The process whose children are the services: their processor time is printed too.")
  var servicesOf: [Int] = []
  @Option(help: "Fail if the second installation finishes fewer missions a second than this share of the first's.")
  var leastShare = 0.0

  func validate() throws {
    guard (1...2).contains(executionPort.count), executionPort.count == progressPort.count else {
      throw ValidationError("give the ports of one installation, or of two")
    }
    guard min(concurrency, missions, windows) > 0 else { throw ValidationError("there is nothing to measure") }
  }

  func run() async throws {
    let courses = zip(executionPort, progressPort).map(Course.init)
    for course in courses where warmUp > 0 {
      _ = try await course.window(missions: warmUp, concurrency: concurrency)
    }
    let before = try servicesOf.map { try ServiceProcesses(parent: $0).times() }
    var measured = courses.map { _ in [Window]() }
    for _ in 0..<windows {
      for (index, course) in courses.enumerated() {
        measured[index].append(try await course.window(missions: missions, concurrency: concurrency))
      }
    }
    let after = try servicesOf.map { try ServiceProcesses(parent: $0).times() }
    for (index, windows) in measured.enumerated() {
      let figures = "\(Summary(windows)) (medians of \(windows.count) windows of \(missions) missions)"
      print("concurrency \(concurrency): \(figures)")
      if index < before.count { printTimes(before[index], after[index]) }
    }
    for course in courses { await course.close() }
    guard measured.count == 2 else { return }
    // Of windows that follow each other, and not of the medians: what else the machine does comes and goes.
    let share = zip(measured[0], measured[1]).map { $1.rate / $0.rate }.sorted()[windows / 2]
    let percent = decimal(share * 100, 1)
    print("concurrency \(concurrency): the second's missions/s are \(percent) % of the first's (median)")
    guard share >= leastShare else {
      print("that is less than \(decimal(leastShare * 100, 1)) %")
      throw ExitCode.failure
    }
  }

  private func printTimes(_ before: [String: Double], _ after: [String: Double]) {
    let count = Double(missions * windows)
    let spent = after.sorted { $0.key < $1.key }.map { name, time in
      "\(name) \(decimal((time - (before[name] ?? 0)) / count * 1_000, 2))"
    }
    print("  processor time of one mission, in ms: \(spent.joined(separator: ", "))")
  }
}

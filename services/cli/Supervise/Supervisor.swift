import Foundation
import ServiceKit

/// Keeps a set of services running: starts each, starts one that died again, stops all in order.
actor Supervisor {
  /// A service that does not stay up in spite of being restarted.
  struct Failure: Sendable, Hashable {
    let service: ServiceName
    let reason: String
  }

  private struct Entry {
    let command: ServiceCommand
    var policy: RestartPolicy
    var child: ChildProcess?
    var isGone = false
    /// The last signal meant for it, for the case that it was just being started then.
    var order: Int32?
    /// The pause before a restart, so that it can be cut short.
    var pause: Task<Void, Never>?
  }

  /// Which services are told to stop together, and for how much of the grace the next ones wait for them. The gateway
  /// goes first, so that nothing new comes in; execution next, while what its missions need is still there.
  private static let stages: [(names: Set<ServiceName>, share: Double)] = [([.gateway], 0.2), ([.execution], 0.6)]

  /// Services that were given up on.
  nonisolated let failures: AsyncStream<Failure>
  private let failed: AsyncStream<Failure>.Continuation
  /// One line for a person, whenever something happens to a service.
  private let notice: @Sendable (String) -> Void
  private var entries: [ServiceName: Entry] = [:]
  private var isStopping = false

  init(_ commands: [ServiceCommand], policy: RestartPolicy = .init(), notice: @escaping @Sendable (String) -> Void) {
    (failures, failed) = AsyncStream.makeStream()
    self.notice = notice
    for command in commands { entries[command.name] = Entry(command: command, policy: policy) }
  }

  func start() {
    for name in entries.keys.sorted(by: { $0.rawValue < $1.rawValue }) { Task { await keepRunning(name) } }
  }

  /// The process of a service; nil while it has none.
  func processID(of name: ServiceName) -> Int32? { entries[name]?.child?.id }

  /// Stops everything within `grace`; what is left then is killed. Returns once no process is left.
  func stop(grace: Duration) async {
    isStopping = true
    for entry in entries.values { entry.pause?.cancel() }
    let start = ContinuousClock.now
    var share = 0.0
    for stage in Self.stages {
      signal(SIGTERM, to: stage.names)
      share += stage.share
      await waitUntilGone(stage.names, until: start + grace * share)
    }
    signal(SIGTERM, to: Set(entries.keys).subtracting(Self.stages.reduce(into: []) { $0.formUnion($1.names) }))
    await waitUntilGone(Set(entries.keys), until: start + grace)
    for (name, entry) in entries where entry.child != nil {
      notice("\(ServiceFleet.program(name)) did not stop within \(DurationText.spoken(grace)) and is killed")
    }
    signal(SIGKILL, to: Set(entries.keys))
    await waitUntilGone(Set(entries.keys), until: .now + .seconds(5))
  }

  /// Ends all at once, without grace.
  func killAll() {
    isStopping = true
    for entry in entries.values { entry.pause?.cancel() }
    signal(SIGKILL, to: Set(entries.keys))
  }

  private func keepRunning(_ name: ServiceName) async {
    while !isStopping, let command = entries[name]?.command {
      let start = ContinuousClock.now
      let ending = await ChildProcess.run(command) { await self.started(name, $0) } ended: { await self.ended(name) }
      if isStopping { break }
      guard await mayRestart(name, ending, after: start.duration(to: .now)) else { break }
    }
    entries[name]?.isGone = true
  }

  private func started(_ name: ServiceName, _ child: ChildProcess) {
    entries[name]?.child = child
    if let signal = entries[name]?.order { child.send(signal) }
  }

  private func ended(_ name: ServiceName) { entries[name]?.child = nil }

  /// Says what happened and waits as long as the policy wants. False if the service is not to be started again.
  private func mayRestart(_ name: ServiceName, _ ending: ServiceEnding, after uptime: Duration) async -> Bool {
    guard let decision = entries[name]?.policy.died(ending, after: uptime) else { return false }
    let program = ServiceFleet.program(name)
    switch decision {
    case .giveUp(let reason):
      notice("\(program) \(ending)")
      failed.yield(Failure(service: name, reason: reason))
      return false
    case .restart(let pause, let count):
      let (ran, next) = (DurationText.spoken(uptime), DurationText.spoken(pause))
      notice("\(program) \(ending) after \(ran); restart \(count) in \(next)")
      let sleep = Task { _ = try? await Task.sleep(for: pause) }
      entries[name]?.pause = sleep
      await sleep.value
      entries[name]?.pause = nil
      return !isStopping
    }
  }

  private func signal(_ signal: Int32, to names: Set<ServiceName>) {
    for name in names {
      entries[name]?.order = signal
      entries[name]?.child?.send(signal)
    }
  }

  private func waitUntilGone(_ names: Set<ServiceName>, until limit: ContinuousClock.Instant) async {
    while ContinuousClock.now < limit, names.contains(where: { entries[$0]?.isGone == false }) {
      // Not the task's own sleep: a cancelled task would spin here.
      await Task { _ = try? await Task.sleep(for: .milliseconds(10)) }.value
    }
  }
}

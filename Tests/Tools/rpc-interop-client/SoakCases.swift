import RPC
import Stubs

enum SoakCases {
  /// A thousand large calls at once over one client, more than any server takes at once.
  @Sendable static func concurrentLargeUnary(_ setting: Setting) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<1_000 { group.addTask { try await UnaryCases.largeUnary(setting) } }
      try await group.waitForAll()
    }
  }

  /// Large calls one after another over one client.
  @Sendable static func rpcSoak(_ setting: Setting) async throws {
    try await soak(setting.soak) { try await UnaryCases.largeUnary(setting) }
  }

  /// Large calls one after another, each over a client of its own.
  @Sendable static func channelSoak(_ setting: Setting) async throws {
    try await soak(setting.soak) {
      let fresh = Setting(soak: setting.soak, connect: setting.connect)
      try await UnaryCases.largeUnary(fresh)
      await fresh.client.close()
    }
  }

  private static func soak(
    _ options: SoakOptions, _ call: @escaping @Sendable () async throws -> Void
  ) async throws {
    let end = ContinuousClock.now + .seconds(options.timeout)
    var failures: [String] = []
    for iteration in 1...options.iterations {
      let begun = ContinuousClock.now
      do {
        try await within(end, call)
        let time = begun.duration(to: .now)
        if time > .milliseconds(options.latency) { failures.append("call \(iteration) took \(time)") }
      } catch {
        failures.append("call \(iteration): \(error)")
      }
      try expect(
        .now <= end, "only \(iteration) of \(options.iterations) calls were made in \(options.timeout) s")
    }
    try expect(
      failures.count <= options.maximumFailures,
      "\(failures.count) of \(options.iterations) calls failed or were late: \(failures.joined(separator: "; "))")
  }

  /// Gives the call up at that moment.
  private static func within(
    _ end: ContinuousClock.Instant, _ call: @escaping @Sendable () async throws -> Void
  ) async throws {
    try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask { try await call() }
      group.addTask {
        try await Task.sleep(until: end, clock: .continuous)
        throw Failure(description: "the time for all calls was up")
      }
      defer { group.cancelAll() }
      try await group.next()
    }
  }
}

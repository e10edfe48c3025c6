import Messages

/// Watches one mission to its end: events as they come, the time left asked for now and then.
struct MissionWatch: Sendable {
  let gateway: GatewayClient
  let mission: String
  let display: ProgressDisplay
  /// How often the clock is redrawn, and how many of those pass between two questions for the time left.
  private static let tick = Duration.milliseconds(200)
  private static let ticksBetweenSnapshots = 5

  /// Returns the mission as it ended. Cancelling stops the watching only.
  func run(after sequence: UInt64 = 0) async throws -> Mission {
    try await withThrowingTaskGroup(of: Void.self) { group in
      if display.redraws { group.addTask { try await keepTime() } }
      defer { group.cancelAll() }
      try await EventStream(gateway: gateway, mission: mission).follow(after: sequence) { notice in
        switch notice {
        case .event(let event): await display.show(event)
        case .interrupted(let reason): await display.notice("connection lost (\(reason)); trying again")
        case .resumed: await display.notice("connected again")
        }
      }
    }
    return try await finalMission()
  }

  /// A snapshot that cannot be had costs its figures only: the stream says what is wrong.
  private func keepTime() async throws {
    var count = 0
    while true {
      if count % Self.ticksBetweenSnapshots == 0, let snapshot = try? await gateway.snapshot(mission) {
        await display.show(snapshot)
      } else {
        await display.tick()
      }
      count += 1
      do { try await Task.sleep(for: Self.tick) } catch { return }
    }
  }

  /// The log's end and the mission's own record are kept by two services; the second may lag for a moment. A gateway
  /// that goes away just now is waited for as long as one that goes away earlier.
  private func finalMission() async throws -> Mission {
    var policy = ReconnectPolicy(now: .now)
    var answers = 0
    while answers < 50 {
      var pause = Duration.milliseconds(100)
      do {
        let mission = try await gateway.mission(self.mission)
        if mission.state.isTerminal { return mission }
        answers += 1
        policy.alive(at: .now)
      } catch let error as CommandError where error.exit == .unavailable || error.exit == .tryAgain {
        guard let next = policy.failed(at: .now) else { throw error }
        pause = next
      }
      try await Task.sleep(for: pause)
    }
    throw CommandError.unexpected("the events of \(mission) have ended, the mission has not")
  }
}

import Messages

/// Watches one mission to its end: events as they come, the time left asked for now and then.
struct MissionWatch: Sendable {
  let gateway: GatewayClient
  let mission: String
  let display: ProgressDisplay
  let console: Console
  /// How often the clock is redrawn, and how many of those pass between two questions for the time left.
  private static let tick = Duration.milliseconds(200)
  private static let ticksBetweenSnapshots = 5

  /// Returns the mission as it ended. Cancelling stops the watching only.
  func run(after sequence: UInt64 = 0) async throws -> Mission {
    try await withThrowingTaskGroup(of: Void.self) { group in
      if display.redraws { group.addTask { try await keepTime() } }
      defer { group.cancelAll() }
      try await follow(after: sequence)
    }
    return try await finalMission()
  }

  /// Where the first events are not kept any more, goes on with those that are.
  private func follow(after sequence: UInt64) async throws {
    let desk = QuestionDesk(gateway: gateway, console: console, display: display, mission: mission)
    var asking = AskedQuestion(desk: desk)
    defer { asking.withdraw() }
    var start = sequence
    while true {
      do {
        return try await EventStream(gateway: gateway, mission: mission).follow(after: start) { notice in
          switch notice {
          case .event(let event):
            start = event.sequence
            await display.show(event)
            await asking.heed(event)
          case .interrupted(let reason): await display.notice("connection lost (\(reason)); trying again")
          case .resumed: await display.notice("connected again")
          }
        }
      } catch let error as CommandError where error.code == "OUT_OF_RANGE" {
        let snapshot = try await gateway.snapshot(mission)
        let next = snapshot.firstSequence > 0 ? snapshot.firstSequence - 1 : snapshot.lastSequence
        guard next > start else { throw error }
        await display.notice("events \(start + 1) to \(next) are not kept any more")
        await display.show(snapshot)
        start = next
      }
    }
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

/// The question that is being asked, if any.
private struct AskedQuestion {
  let desk: QuestionDesk
  private var id: String?
  private var asking: Task<Void, Never>?

  init(desk: QuestionDesk) { self.desk = desk }

  /// Asks what the event asks; what others have answered is asked no more.
  mutating func heed(_ event: ProgressEvent) async {
    if event.state == .awaitingInput {
      guard let question = event.question, question.id != id else { return }
      await end()
      id = question.id
      asking = Task { [desk] in await desk.ask(question) }
    } else {
      await end()
    }
  }

  private mutating func end() async {
    withdraw()
    await asking?.value
    (id, asking) = (nil, nil)
  }

  func withdraw() { asking?.cancel() }
}

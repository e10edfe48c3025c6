import Foundation
import Messages
import RPC
import Stubs
import Synchronization
import TestSupport
import Testing

/// Missions whose tool changes something again and again, cancelled at random instants: from before they are begun to
/// after they have ended. `BUDDY_CANCEL_RACES` says how many; 200 without it.
@Suite(.timeLimit(.minutes(10))) struct CancelRaceTests {
  private static let parallel = 12

  private struct Race: Sendable {
    let id: String
    /// How many effects it had had when the cancel was answered; nil where it had ended before.
    var effectsAtAnswer: Int?
    var answer: Duration?
    /// From the cancel to the death of its process, if that ran then.
    var death: Duration?
  }

  @Test func nothingBeginsAfterTheAnswer() async throws {
    let count = ProcessInfo.processInfo.environment["BUDDY_CANCEL_RACES"].flatMap { Int($0) } ?? 200
    var scripts = try ToolScripts()
    // An effect is a line of the mission's own file; the first is the process's number.
    try scripts.add(
      "affect", #"""
        read -r call
        id=${call#*\"missionId\":\"}
        file=\#(scripts.file("effect-"))${id%%\"*}
        echo $$ > "$file"
        for i in 1 2 3 4 5 6 7 8 9 10; do echo effect >> "$file"; sleep 0.02; done
        echo '{"text": "done"}'
        """#)
    let installation = try await scripts.installation(["maximum-running": Self.parallel])
    let missions = MissionsClient(try installation.client("execution"))
    let races = try await run(count, missions, scripts)

    for race in races {
      let effects = Self.lines(scripts, race.id).count
      #expect(race.effectsAtAnswer == nil || race.effectsAtAnswer == effects, "an effect after the answer: \(race.id)")
      #expect(!Self.lines(scripts, race.id).prefix(1).compactMap { Int32($0) }.contains(where: isAlive))
    }
    #expect(try Self.left().isEmpty, "no process of any call is left")
    let done = try await check(races, installation, missions)
    let cancelled = races.filter { $0.effectsAtAnswer != nil }
    #expect(cancelled.contains { $0.effectsAtAnswer ?? 0 > 1 }, "some cancels have met a tool in the middle of its work")
    print(
      """
      cancel races: \(count) missions, \(cancelled.count) cancelled, \
      \(cancelled.count { $0.effectsAtAnswer ?? 0 > 0 }) of them with a tool that had begun, \(done) had succeeded
      cancel to its answer: \(Spread(cancelled.compactMap(\.answer)))
      cancel to the death of a running tool: \(Spread(cancelled.compactMap(\.death)))
      """)
    #expect(try await installation.stop() == 0)
  }

  /// Submits and cancels, some at a time, and returns what came of each.
  private func run(_ count: Int, _ missions: MissionsClient, _ scripts: ToolScripts) async throws -> [Race] {
    var random = SeededRandom()
    let instants = (0..<count).map { _ in Int.random(in: 0...600, using: &random) }
    let effects = scripts.file("effect-")
    return try await withThrowingTaskGroup(of: Race.self) { group in
      var (races, next) = ([Race](), 0)
      while races.count < count {
        while next < count, next - races.count < Self.parallel {
          let instant = instants[next]
          group.addTask { try await Self.race(missions, cancelAfter: .milliseconds(instant), effects) }
          next += 1
        }
        if let race = try await group.next() { races.append(race) }
      }
      return races
    }
  }

  private static func race(
    _ missions: MissionsClient, cancelAfter pause: Duration, _ effects: String
  ) async throws -> Race {
    let mission = try await missions.submit(
      SubmitMissionRequest(objective: "do what affect does", requestedTool: "affect"))
    try await Task.sleep(for: pause)
    var race = Race(id: mission.id)
    let process = lines(effects + mission.id).first.flatMap { Int32($0) }
    let begun = ContinuousClock.now
    let death = Task { () -> Duration? in
      guard let process, isAlive(process) else { return nil }
      while isAlive(process) { try await Task.sleep(for: .milliseconds(1)) }
      return ContinuousClock.now - begun
    }
    do {
      _ = try await missions.cancel(CancelMissionRequest(id: mission.id))
      race.effectsAtAnswer = lines(effects + mission.id).count
      race.answer = ContinuousClock.now - begun
    } catch let status as Status where status.code == .failedPrecondition {
      // It had ended before.
    }
    race.death = try await death.value
    return race
  }

  /// Every reservation is released or settled, and the ledger adds up. Returns how many missions have succeeded.
  private func check(_ races: [Race], _ installation: Installation, _ missions: MissionsClient) async throws -> Int {
    let investment = InvestmentClient(try installation.client("investment"))
    try await eventually("nothing is reserved any more", within: .seconds(60)) {
      try await investment.getBudget(GetBudgetRequest()).reserved?.micros == 0
    }
    var done = 0
    for race in races {
      let mission = try await missions.get(GetMissionRequest(id: race.id))
      #expect(mission.state == (race.effectsAtAnswer == nil ? .succeeded : .cancelled), "\(race.id)")
      if mission.state == .succeeded { done += 1 }
    }
    let budget = try await investment.getBudget(GetBudgetRequest())
    #expect(budget.spent?.micros == Int64(done) * 10, "what was cancelled costs nothing")
    return done
  }

  // MARK: - What can be seen from outside

  private static func lines(_ scripts: ToolScripts, _ id: String) -> [Substring] { lines(scripts.file("effect-") + id) }

  private static func lines(_ path: String) -> [Substring] {
    ((try? String(contentsOfFile: path, encoding: .utf8)) ?? "").split(separator: "\n")
  }

  /// The processes that have the mark of a call of this test's tool.
  private static func left() throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: "/proc").filter { entry in
      guard Int32(entry) != nil, let variables = FileManager.default.contents(atPath: "/proc/\(entry)/environ"),
        let line = FileManager.default.contents(atPath: "/proc/\(entry)/cmdline")
      else { return false }
      return variables.range(of: Data("BUDDY_TOOL_CALL=".utf8)) != nil && line.range(of: Data("affect.sh".utf8)) != nil
    }
  }
}

/// Of some measured durations.
private struct Spread: CustomStringConvertible {
  let description: String

  init(_ all: [Duration]) {
    let sorted = all.sorted()
    func at(_ share: Double) -> String {
      guard !sorted.isEmpty else { return "-" }
      let value = sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]
      return "\((value / .microseconds(100)).rounded() / 10) ms"
    }
    description = "p50 \(at(0.5)), p99 \(at(0.99)), max \(at(1)) of \(sorted.count)"
  }
}

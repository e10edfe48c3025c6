import Foundation
import Messages
import TestSupport
import Testing

@testable import ExecutionService

/// What every command does in every state, tried out, and compared with the tables of the service's README.
@Suite struct CommandTableTests {
  private static let now = MissionScenarios.now
  private static let eva = MissionScenarios.eva

  private static func situations() throws -> [(name: String, mission: Mission, isInterruptible: Bool)] {
    var waiting = try MissionScenarios.running(.execution)
    _ = try waiting.apply(.pause(eva, isInterruptible: false), at: now)
    var fresh = try MissionScenarios.approved()
    _ = try fresh.apply(.pause(eva, isInterruptible: true), at: now)
    var paused = try MissionScenarios.running(.execution)
    _ = try paused.apply(.pause(eva, isInterruptible: true), at: now)
    var asking = try MissionScenarios.running(.execution)
    _ = try asking.apply(.ask(.execution, MissionScenarios.question), at: now)
    let open: [(String, Mission, Bool)] = [
      ("PENDING_APPROVAL", MissionScenarios.new(), true),
      ("APPROVED", try MissionScenarios.approved(), true),
      ("RUNNING", try MissionScenarios.running(.execution), true),
      ("RUNNING ¹", try MissionScenarios.running(.execution), false),
      ("RUNNING ²", waiting, false),
      ("PAUSED ³", fresh, true),
      ("PAUSED", paused, true),
      ("AWAITING_INPUT", asking, true),
    ]
    let ended = try [MissionState.succeeded, .failed, .cancelled, .rejected].map {
      ($0.label, try MissionScenarios.ended($0), true)
    }
    return (open + ended).map { (name: $0.0, mission: $0.1, isInterruptible: $0.2) }
  }

  private static func commands(_ isInterruptible: Bool) -> [(name: String, transition: Transition)] {
    let dear = Modification(budget: Money(micros: 9_000, currency: "USD"), isBeyondPolicy: true)
    return [
      ("approve", .approve(eva)), ("reject", .reject(eva)), ("cancel", .cancel(eva)),
      ("pause", .pause(eva, isInterruptible: isInterruptible)), ("resume", .resume(eva)),
      ("modify ⁴", .modify(eva, Modification(objective: "2 + 2"), isInterruptible: isInterruptible)),
      ("modify ⁵", .modify(eva, dear, isInterruptible: isInterruptible)),
      ("answer", .answer(eva, questionID: "q", Answer(value: .yes(true)))), ("expire", .expire),
    ]
  }

  private static func steps(_ mission: Mission) -> [(name: String, transition: Transition)] {
    let step = mission.runningStep ?? mission.currentStep ?? .finalize
    return [
      ("begin", .begin(step)), ("report", .report(step, fraction: 0.5, message: "")),
      ("complete", .complete(step, message: "")), ("fail", .fail(step, Failure(code: "X"), isOfTool: false)),
      ("ask", .ask(step, MissionScenarios.question)), ("wait", .wait(for: "the tool calculate")),
    ]
  }

  private static func cell(_ mission: Mission, _ transition: Transition) -> String {
    var after = mission
    after.deadline = GoogleProtobufTimestamp(now)
    guard let effects = try? after.apply(transition, at: now) else { return "✗" }
    if effects.isEmpty { return "–" }
    return after.state == mission.state ? "*stays*" : after.state.label.lowercased()
  }

  private static func table(
    _ transitions: (Mission, Bool) -> [(name: String, transition: Transition)]
  ) throws -> [String] {
    let situations = try situations()
    let names = transitions(situations[0].mission, true).map(\.name)
    let line = String(repeating: "|---", count: names.count + 1) + "|"
    let head = ["| state | \(names.joined(separator: " | ")) |", line]
    return head
      + situations.map { situation in
        let cells = transitions(situation.mission, situation.isInterruptible).map { _, transition in
          cell(situation.mission, transition)
        }
        return "| \(situation.name) | \(cells.joined(separator: " | ")) |"
      }
  }

  @Test func theReadmeShowsWhatTheMachineDoes() throws {
    let tables = [
      try Self.table { _, isInterruptible in Self.commands(isInterruptible) },
      try Self.table { mission, _ in Self.steps(mission) },
    ]
    for table in tables { print(table.joined(separator: "\n") + "\n") }
    let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().deletingLastPathComponent()
    let readme = try String(contentsOf: root.appending(path: "services/execution/README.md"), encoding: .utf8)
    for table in tables {
      #expect(readme.contains(table.joined(separator: "\n")), "README.md has another table than the one printed here")
    }
  }

  /// An end is an end, whatever comes.
  @Test func nothingLeavesATerminalState() throws {
    for situation in try Self.situations() where situation.mission.state.isTerminal {
      for (name, transition) in Self.commands(true) + Self.steps(situation.mission) {
        let cell = Self.cell(situation.mission, transition)
        #expect(cell == "✗" || cell == "–", "\(name) in \(situation.name)")
      }
    }
  }
}

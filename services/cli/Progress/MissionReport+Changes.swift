import Foundation
import Messages

extension MissionReport {
  /// The commands that were taken, oldest first.
  static func changes(_ mission: Mission) -> String {
    var table = Table(("CHANGED", .left), ("BY", .left), ("WHAT", .left), ("REASON", .left))
    for change in mission.changes {
      table.add(
        change.time?.date.formatted(.iso8601) ?? "-", change.actor.isEmpty ? "-" : change.actor,
        CommandReport.effect(change, of: nil), change.reason)
    }
    return table.lines(columns: nil).joined(separator: "\n")
  }

  /// A question that was answered, in one line.
  static func answered(_ answered: AnsweredQuestion) -> String {
    let value =
      switch answered.answer?.value {
      case .yes(let yes): yes ? "yes" : "no"
      case .choice(let text), .text(let text): text
      case .number(let number): number.formatted()
      case nil: "-"
      }
    let by = answered.actor.isEmpty ? "" : " (\(answered.actor))"
    return "\(answered.question?.prompt ?? "") \(value)\(by)"
  }
}

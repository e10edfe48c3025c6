import Foundation
import Messages
import RPC

/// The commands that a mission has taken.
extension Mission {
  /// How many it takes at the most. The last are kept for those that must not be refused: nine for what ends a pause,
  /// an approval or a question, one for what ends the mission.
  static let maximumChanges = 200
  static let changesKeptForEnding = 1
  static let changesKeptForGoingOn = 10

  /// Notes a command and gives the note.
  ///
  /// Throws `Status` RESOURCE_EXHAUSTED, changing nothing, where the mission has taken too many.
  mutating func note(
    _ command: MissionCommand, _ by: By, _ now: Date, applied: Bool = true, stale: [Step] = [], fields: [String] = []
  ) throws -> MissionChange {
    let kept =
      switch command {
      case .cancel, .reject: 0
      case .pause, .modify: Self.changesKeptForGoingOn
      default: Self.changesKeptForEnding
      }
    guard changes.count + kept < Self.maximumChanges else {
      throw Status(
        .resourceExhausted,
        "mission \(id) has taken \(changes.count) commands of at most \(Self.maximumChanges); it can only go on or end")
    }
    let change = MissionChange(
      command: command, requestId: by.requestID, actor: by.actor, reason: by.reason,
      time: GoogleProtobufTimestamp(now), step: steps.isEmpty ? .unspecified : currentStep ?? .unspecified,
      applied: applied, staleSteps: stale, fields: fields)
    changes.append(change)
    return change
  }

  /// The last pause or resumption.
  private var lastHold: Int? { changes.lastIndex { $0.command == .pause || $0.command == .resume } }

  /// Where in `changes` a pause is that waits for the end of the running step.
  var pendingPause: Int? {
    lastHold.flatMap { changes[$0].command == .pause && !changes[$0].applied ? $0 : nil }
  }

  /// Whether a pause holds the mission, or will hold it again once it is approved anew.
  var isHeld: Bool { lastHold.map { changes[$0].command == .pause && changes[$0].applied } ?? false }

  /// Pauses where a pause was waiting for this.
  mutating func applyPendingPause(_ now: Date) -> [Effect] {
    guard let index = pendingPause else { return [] }
    changes[index].applied = true
    let change = changes[index]
    return [enter(.paused, "paused by \(By(actor: change.actor, reason: change.reason).text)", now, change: change)]
  }

  /// Whether a person approved it, rather than policy.
  var isApprovedByPerson: Bool {
    changes.last { $0.command == .approve }.map { $0.actor != By.policy } ?? false
  }
}

import Foundation
import Messages
import RPC
import ServiceKit
import Storage

/// What a command came to.
struct CommandReply: Sendable {
  /// The mission right after the command.
  let mission: Mission
  /// Whether what ran of the mission has to have stopped before the command is answered.
  let mustStop: Bool
}

/// A command is one transaction: recognised by its request id, checked against the mission's version, applied, and
/// answered.
extension MissionStore {
  /// Takes a command.
  ///
  /// - Parameters:
  ///   - expectedVersion: the version the caller has seen; 0 for any.
  ///   - requestID: the same id again gives the first answer and does nothing; empty: none.
  ///   - request: what the id stands for; the same request must give the same bytes.
  ///   - transition: the command for the mission as it is.
  ///
  /// Throws `Status` NOT_FOUND, ABORTED for another version, ALREADY_EXISTS if the id was used for another request, and
  /// what `transition` and the mission throw.
  func command(
    _ command: MissionCommand, of id: String, expectedVersion: Int64, requestID: String, request: [UInt8],
    _ transition: @escaping @Sendable (Mission) throws -> Transition
  ) async throws -> CommandReply {
    let trace = TraceContext.currentText
    return try await database.write { connection in
      func take() throws -> CommandReply {
        try Self.take(command, of: id, expectedVersion, trace, connection, transition)
      }
      guard !requestID.isEmpty else { return try take() }
      var taken: CommandReply?
      do {
        // Some commands' requests have the same bytes.
        let body = [UInt8(truncatingIfNeeded: command.rawValue)] + request
        let reply = try Idempotency.once(owner: "mission/\(id)", key: requestID, body: body, in: connection) {
          let reply = try take()
          taken = reply
          return try reply.mission.bytes()
        }
        if let taken { return taken }
        // Of a repetition: what was stopped by it has stopped unless the mission was let run again.
        let isHeld = try ![.approved, .running].contains(Self.load(id, connection).mission.state)
        return CommandReply(mission: try Mission(wire: reply), mustStop: isHeld)
      } catch is Idempotency.AnotherBody {
        throw Status(.alreadyExists, "the request id \"\(requestID)\" was used for another command of mission \(id)")
      }
    }
  }

  private static func take(
    _ command: MissionCommand, of id: String, _ expectedVersion: Int64, _ trace: String, _ connection: WriteConnection,
    _ transition: (Mission) throws -> Transition
  ) throws -> CommandReply {
    let before = try load(id, connection).mission
    try before.check(version: expectedVersion)
    let mission = try change(id, [try transition(before)], trace: trace, connection)
    if mission.state.isTerminal { try endOutput(of: mission, connection) }
    if command == .modify { try dropPartial(of: mission, before: before, connection) }
    connection.notify(Topic.missions)
    let interrupted = before.runningStep != nil && mission.runningStep == nil
    return CommandReply(mission: mission, mustStop: command == .cancel || interrupted)
  }
}

extension Mission {
  /// Throws `Status` ABORTED unless `expected` is 0 or the mission's version.
  func check(version expected: Int64) throws {
    guard expected == 0 || expected == version else {
      throw Status(.aborted, "mission \(id) is at version \(version), not \(expected)")
    }
  }

  /// What the deadline's keeper looks for.
  var keptDeadline: Date? { state.isTerminal ? nil : deadline?.date }
}

extension [Transition] {
  /// Whether a run is to be stopped because of these (1), or one was just begun (0); nil where they say neither.
  func stopWanted(before: Mission, after: Mission) -> Int64? {
    var wanted: Int64?
    for transition in self {
      switch transition {
      case .cancel, .pause, .modify, .expire: if before.runningStep != nil, after.runningStep == nil { wanted = 1 }
      case .begin: wanted = 0
      default: break
      }
    }
    return wanted
  }
}

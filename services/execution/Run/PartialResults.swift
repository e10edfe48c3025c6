import Foundation
import Logging
import Messages
import RPC
import ServiceKit
import Storage

/// Keeps what missions had produced that ended without success: stores it as artifacts and makes it their result,
/// marked as partial. It goes by what is durably stored, so it survives a crash; what it does twice comes to the same.
struct PartialResults: Sendable {
  /// How often to look for what is due.
  static let pollInterval = Duration.milliseconds(500)
  /// After how long what was begun by a process that died is begun again, and what has failed is tried again.
  static let retryPause = Duration.seconds(30)
  private static let batch = 8

  let store: MissionStore
  let peers: Peers
  let logger: Logger

  /// Runs until it is cancelled or the database closed.
  func run() async throws {
    while !Task.isCancelled {
      do {
        while try await keepDue() > 0 {}
      } catch StorageError.closed {
        return
      } catch is CancellationError {
        return
      } catch {
        logger.error("partial results could not be looked up; trying again", metadata: ["error": "\(error)"])
      }
      try await Task.sleep(for: Self.pollInterval)
    }
  }

  /// Keeps what is due now; returns how many it has looked at.
  func keepDue() async throws -> Int {
    let due = try await store.takeDuePartials(limit: Self.batch, again: Self.retryPause)
    for partial in due {
      do {
        try await keep(partial)
      } catch where Task.isCancelled || error is CancellationError {
        throw CancellationError()
      } catch {
        logger.warning(
          "a partial result could not be kept; trying again",
          metadata: ["mission": "\(partial.id)", "error": "\(error)"])
      }
    }
    return due.count
  }

  private func keep(_ partial: DuePartial) async throws {
    let (id, output) = (partial.id, partial.output)
    var artifacts: [Artifact] = []
    for (index, content) in output.artifacts.enumerated() {
      do {
        // The keys of finalize: what it has stored before the mission ended is not stored twice.
        artifacts.append(try await peers.upload(content, missionID: id, key: "\(index) \(content.name)"))
      } catch let status as Status where Self.isFinal(status) {
        logger.error(
          "an artifact of a partial result was refused; the rest is kept",
          metadata: ["mission": "\(id)", "artifact": "\(content.name)", "error": "\(status)"])
      }
    }
    try await store.setPartial(MissionResult(output, artifacts, isPartial: true), of: partial)
  }

  /// Whether asking again would bring the same answer.
  private static func isFinal(_ status: Status) -> Bool {
    guard status != .noSpaceLeft else { return false }
    return [.invalidArgument, .failedPrecondition, .alreadyExists, .outOfRange, .permissionDenied, .unimplemented,
      .resourceExhausted].contains(status.code)
  }
}

/// What is to be kept of a mission, until it is due again.
struct DuePartial: Sendable {
  let id: String
  let output: StoredToolOutput
  /// When it is due again; another time once something newer was stored.
  let dueAgain: Int64
}

extension MissionResult {
  /// What a tool returned, with its text cut to 64 KiB.
  init(_ output: StoredToolOutput, _ artifacts: [Artifact], isPartial: Bool) {
    self.init(
      text: String(decoding: output.text.utf8.prefix(64 * 1_024), as: UTF8.self),
      artifacts: artifacts.map {
        ResultArtifact(artifactId: $0.id, name: $0.name, mediaType: $0.mediaType, size: $0.size)
      }, partial: isPartial)
  }
}

extension MissionStore {
  /// The mission has ended: its tool's output is not needed any more, or due to be kept as its partial result.
  static func endOutput(of mission: Mission, _ connection: WriteConnection) throws {
    if mission.state != .succeeded {
      try connection.execute(
        """
        UPDATE tool_outputs SET due_us = $2, begun_call = ''
        WHERE mission_id = $1 AND due_us IS NULL AND length(output) > 0
        """, mission.id, try connection.now())
    }
    try connection.execute("DELETE FROM tool_outputs WHERE mission_id = $1 AND due_us IS NULL", mission.id)
  }

  /// Keeps what a tool had produced when it was stopped or failed. A mission that was paused, or is to go on later,
  /// runs its tool anew; what is kept becomes its partial result if it ends without success before there is something
  /// newer.
  ///
  /// - Parameter isFailing: the mission is about to fail under this lease. Throws `LeaseLost` then where it was lost.
  func keepPartial(
    _ output: StoredToolOutput, of call: ToolCall, under lease: HeldLease, isFailing: Bool
  ) async throws {
    let (id, bytes) = (call.missionID, try output.bytes())
    guard !bytes.isEmpty else { return }
    try await database.write { connection in
      let stored = try Self.load(id, connection).mission
      let state = stored.state
      // What was produced for another objective than the mission has by now is nobody's result.
      guard state != .succeeded, stored.isOf(call) else { return }
      if !state.isTerminal {
        do {
          try lease.lease.check(in: connection)
        } catch let lost as LeaseLost {
          // Somebody else may run it already, who has newer things to keep.
          guard isFailing else { return }
          throw lost
        }
      }
      try connection.execute(
        """
        INSERT INTO tool_outputs (mission_id, output, due_us) VALUES ($1, $2, $3)
        ON CONFLICT (mission_id) DO UPDATE SET output = excluded.output, due_us = excluded.due_us
        """, id, bytes, state.isTerminal ? try connection.now().databaseValue : .null)
    }
  }

  /// What was kept of a run that a modification has made worthless is not kept any longer.
  static func dropPartial(of mission: Mission, before: Mission, _ connection: WriteConnection) throws {
    let isSame =
      mission.objective == before.objective && mission.parameters == before.parameters
      && mission.requestedTool == before.requestedTool && mission.executionKey == before.executionKey
    guard !isSame else { return }
    try connection.execute("DELETE FROM tool_outputs WHERE mission_id = $1 AND begun_call = ''", mission.id)
  }

  /// What is due to be kept, those that wait longest first. It is due again after `pause`, unless it is kept by then.
  func takeDuePartials(limit: Int, again pause: Duration) async throws -> [DuePartial] {
    let sql = "SELECT mission_id FROM tool_outputs WHERE due_us <= $1 ORDER BY due_us LIMIT $2"
    let ids = try await database.read { connection in
      try connection.rows(sql, try connection.now(), limit).map { try $0.text("mission_id") }
    }
    guard !ids.isEmpty else { return [] }
    return try await database.write { connection in
      let now = try connection.now()
      return try ids.compactMap { id in
        try connection.first(
          "UPDATE tool_outputs SET due_us = $3 WHERE mission_id = $1 AND due_us <= $2 RETURNING output, due_us",
          id, now, now.addingTimeInterval(pause / .seconds(1))
        ).map { row in
          DuePartial(
            id: id, output: try StoredToolOutput(wire: try row.blob("output")), dueAgain: try row.int64("due_us"))
        }
      }
    }
  }

  /// Makes it the result of a mission that has ended without success. No event tells: there is none after the end.
  /// Does nothing where something newer was stored meanwhile, which is due itself.
  func setPartial(_ result: MissionResult, of partial: DuePartial) async throws {
    let id = partial.id
    try await database.write { connection in
      var mission = try Self.load(id, connection).mission
      let left = try connection.execute(
        "DELETE FROM tool_outputs WHERE mission_id = $1 AND due_us = $2", id, partial.dueAgain)
      guard left > 0, mission.state.isTerminal, mission.state != .succeeded else { return }
      mission.result = result
      mission.version += 1
      mission.updatedAt = GoogleProtobufTimestamp(Date())
      try connection.execute("UPDATE missions SET record = $2 WHERE id = $1", id, try mission.bytes())
    }
  }
}

extension Mission {
  /// Whether a call is one for what the mission is to do now.
  fileprivate func isOf(_ call: ToolCall) -> Bool {
    executionKey == call.idempotencyKey && objective == call.objective && parameters == call.parameters
  }
}

import Foundation
import Messages
import RPC
import Stubs

/// The commands of people. Each is recognised by its request id, and checks the version it was made for.
extension MissionsService {
  static let longestReason = 1_000
  static let longestRequestID = 200
  static let longestActor = 100

  func approve(_ request: ApproveMissionRequest, _ context: ServerContext) async throws -> Mission {
    let by = try Self.by(request.actor, requestID: request.requestId)
    return try await take(.approve, of: request.id, request.expectedVersion, by, request) { _ in .approve(by) }
  }

  func reject(_ request: RejectMissionRequest, _ context: ServerContext) async throws -> Mission {
    let by = try Self.by(request.actor, request.reason, requestID: request.requestId)
    return try await take(.reject, of: request.id, request.expectedVersion, by, request) { _ in .reject(by) }
  }

  /// Answers only when nothing of the mission runs any more, here or in another process, so that no effect
  /// begins after the answer.
  func cancel(_ request: CancelMissionRequest, _ context: ServerContext) async throws -> Mission {
    let by = try Self.by(request.actor, request.reason, requestID: request.requestId)
    return try await take(.cancel, of: request.id, request.expectedVersion, by, request) { _ in .cancel(by) }
  }

  /// Answers, as `cancel` does, when nothing runs any more; at once where the running tool may not be interrupted.
  func pause(_ request: PauseMissionRequest, _ context: ServerContext) async throws -> Mission {
    let by = try Self.by(request.actor, request.reason, requestID: request.requestId)
    return try await take(.pause, of: request.id, request.expectedVersion, by, request) { mission in
      .pause(by, isInterruptible: isInterruptible(mission))
    }
  }

  func resume(_ request: ResumeMissionRequest, _ context: ServerContext) async throws -> Mission {
    let by = try Self.by(request.actor, requestID: request.requestId)
    return try await take(.resume, of: request.id, request.expectedVersion, by, request) { _ in .resume(by) }
  }

  func modify(_ request: ModifyMissionRequest, _ context: ServerContext) async throws -> Mission {
    let by = try Self.by(request.actor, request.reason, requestID: request.requestId)
    return try await take(.modify, of: request.id, request.expectedVersion, by, request) { mission in
      let hasSideEffects = chosenTool(of: mission)?.hasSideEffects ?? false
      let modification = try rules.modification(
        from: request, of: mission, mayRunToolAgain: !hasSideEffects, now: Date())
      return .modify(by, modification, isInterruptible: isInterruptible(mission))
    }
  }

  func answer(_ request: AnswerMissionRequest, _ context: ServerContext) async throws -> Mission {
    let by = try Self.by(request.actor, requestID: request.requestId)
    guard let answer = request.answer else { throw Status(.invalidArgument, "the answer is missing") }
    return try await take(.answer, of: request.id, request.expectedVersion, by, request) { _ in
      .answer(by, questionID: request.questionId, answer)
    }
  }

  private func take(
    _ command: MissionCommand, of id: String, _ expectedVersion: Int64, _ by: By, _ request: some ProtobufMessage,
    _ transition: @escaping @Sendable (Mission) throws -> Transition
  ) async throws -> Mission {
    let reply = try await store.command(
      command, of: id, expectedVersion: expectedVersion, requestID: by.requestID, request: try request.bytes(),
      transition)
    if reply.mustStop { try await runner.stop(id, before: reply.mission.version) }
    return reply.mission
  }

  /// Whether the running step can be stopped half way and begun anew: every one but the call of a tool that would take
  /// effect twice.
  private func isInterruptible(_ mission: Mission) -> Bool {
    guard mission.runningStep == .execution, let tool = chosenTool(of: mission) else { return true }
    return !tool.hasSideEffects || tool.isIdempotent
  }

  private func chosenTool(of mission: Mission) -> ToolDeclaration? {
    toolbox[mission.choice?.tool ?? ""]?.declaration
  }

  private static func by(_ actor: String, _ reason: String = "", requestID: String) throws -> By {
    guard reason.count <= longestReason else {
      throw Status(
        .invalidArgument, "the reason has \(reason.count) characters; at most \(longestReason) are taken")
    }
    guard requestID.count <= longestRequestID else {
      throw Status(
        .invalidArgument, "the request id has \(requestID.count) characters; at most \(longestRequestID) are taken")
    }
    let name = actor.isEmpty ? "anonymous" : String(actor.prefix(longestActor))
    return By(actor: name, reason: reason, requestID: requestID)
  }
}

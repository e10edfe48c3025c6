import Messages
import RPC
import ServiceKit
import Stubs

/// `buddy.learning.v1.Learning` on the wire.
struct LearningService: LearningHandler {
  /// The longest comment, in characters.
  static let maximumComment = 4_000
  /// The longest name of a person, tool or intent, in characters.
  static let maximumName = 100
  /// How many multipliers one call may ask for.
  static let maximumTools = 100

  /// How long feedback waits for the outcome of a mission that has only just ended.
  static let outcomeWait = Duration.seconds(2)

  let store: LearningStore

  func recordOutcome(
    _ request: RecordOutcomeRequest, _ context: ServerContext
  ) async throws -> RecordOutcomeResponse {
    try Self.check(request)
    try await store.record(request)
    return RecordOutcomeResponse()
  }

  /// What is taken in from the outbox of the execution service: how a mission's tool did.
  static let inboxTopic = InboxTopic("learning", RecordOutcomeRequest.self) { request, _, connection in
    try check(request)
    try LearningStore.record(request, connection)
  }

  private static func check(_ request: RecordOutcomeRequest) throws {
    try require(request.missionId, "mission_id")
    try require(request.tool, "tool")
    try require(request.intent, "intent")
  }

  func giveFeedback(_ request: GiveFeedbackRequest, _ context: ServerContext) async throws -> Feedback {
    try Self.require(request.missionId, "mission_id")
    let author = request.author.isEmpty ? "anonymous" : request.author
    try Self.require(author, "author")
    guard (0...1).contains(request.score) else {
      throw Status(.invalidArgument, "score is \(request.score); it must be 0 to 1")
    }
    guard request.comment.count <= Self.maximumComment else {
      throw Status(
        .invalidArgument, "comment has \(request.comment.count) characters; at most \(Self.maximumComment) are taken")
    }
    if !request.correction.isEmpty { try Self.require(request.correction, "correction") }
    let end = Deadline.after(Self.outcomeWait)
    while try await !store.knows(request.missionId), !end.isExpired {
      try await Task.sleep(for: .milliseconds(50))
    }
    return try await store.give(request, author: author)
  }

  func listFeedback(_ request: ListFeedbackRequest, _ context: ServerContext) async throws -> ListFeedbackResponse {
    try Self.require(request.missionId, "mission_id")
    return ListFeedbackResponse(feedback: try await store.feedback(missionID: request.missionId))
  }

  func getMultipliers(
    _ request: GetMultipliersRequest, _ context: ServerContext
  ) async throws -> GetMultipliersResponse {
    try Self.require(request.intent, "intent")
    guard request.tools.count <= Self.maximumTools else {
      throw Status(.invalidArgument, "\(request.tools.count) tools asked for; at most \(Self.maximumTools) in one call")
    }
    return GetMultipliersResponse(
      multipliers: try await store.multipliers(intent: request.intent, tools: request.tools))
  }

  private static func require(_ text: String, _ field: String) throws {
    guard (1...maximumName).contains(text.count) else {
      throw Status(.invalidArgument, "\(field) has \(text.count) characters; 1 to \(maximumName) are taken")
    }
  }
}

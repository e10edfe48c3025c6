import Messages
import RPC
import Storage

/// A step cannot go on without a person's answer: the mission is to ask.
struct InputNeeded: Error, Sendable {
  var question: Question
  /// What else is written when it is asked.
  var alongside: @Sendable (WriteConnection) throws -> Void = { _ in }
}

/// Calls of tools that change something and must not be repeated: that one begins is made durable before it does, so
/// that after a crash it is known that nobody knows what came of it. Then a person decides.
///
/// ```
/// begun (durable) ──▶ call ──▶ output kept, or the mission failed: the mark is gone
///    │ crash
///    ▼
/// begun anew: the mark is there ──ask──▶ run it again │ it took effect │ fail
/// ```
enum UnknownEffect {
  static let runAgain = "run it again"
  static let tookEffect = "it took effect; go on without its output"
  static let fail = "fail"
  /// Questions about calls begin with this, those of tools with the other.
  static let idPrefix = "effect-"
  static let toolPrefix = "tool-"
  /// How many questions one tool may ask in one mission.
  static let maximumQuestions = 20

  /// What to do about a call that is about to begin.
  enum Decision: Sendable, Hashable {
    case call
    case ask(Int)
    case goOn(by: String)
    case fail(by: String)
  }

  /// - Parameters:
  ///   - mark: what an earlier call has left; nil if there was none or it is known what came of it.
  ///   - answers: the mission's.
  static func decide(mark: Mark?, answers: [AnsweredQuestion]) -> Decision {
    let own = answers.filter { $0.question?.id.hasPrefix(idPrefix) == true }
    guard let mark else { return .call }
    // An answer counts for the call that was asked about; the call that it allowed has a mark of its own.
    guard own.count > mark.answers, let last = own.last, case .choice(let choice)? = last.answer?.value else {
      return .ask(own.count + 1)
    }
    switch choice {
    case runAgain: return .call
    case tookEffect: return .goOn(by: last.actor)
    default: return .fail(by: last.actor)
    }
  }

  /// That a call has begun: its key, and how many questions about calls had been answered then.
  struct Mark: Sendable, Hashable {
    var key: String
    var answers: Int

    var text: String { "\(answers) \(key)" }

    init(key: String, answers: Int) {
      (self.key, self.answers) = (key, answers)
    }

    /// Nil for an empty text.
    init?(text: String) {
      let parts = text.split(separator: " ", maxSplits: 1)
      guard parts.count == 2, let answers = Int(parts[0]) else { return nil }
      self.init(key: String(parts[1]), answers: answers)
    }
  }

  static func question(_ number: Int, about tool: String) -> Question {
    Question(
      id: "\(idPrefix)\(number)", step: .execution,
      prompt: "The tool \(tool) was interrupted, and it is not known whether it took effect. What is to be done?",
      kind: .choice, options: [runAgain, tookEffect, fail])
  }
}

extension Mission {
  /// The same for every attempt to run the tool, also after a crash; a new one once a change has made an earlier run
  /// stale.
  var executionKey: String {
    let stale = changes.filter { $0.command == .modify && $0.staleSteps.contains(.execution) }.count
    return stale == 0 ? id : "\(id)-\(stale + 1)"
  }

  /// The answers to the chosen tool's own questions, under the names it gave them.
  var toolAnswers: [AnsweredQuestion] {
    answers.compactMap { answered in
      guard var question = answered.question, question.id.hasPrefix(UnknownEffect.toolPrefix) else { return nil }
      question.id.removeFirst(UnknownEffect.toolPrefix.count)
      var answered = answered
      answered.question = question
      return answered
    }
  }
}

extension MissionStore {
  /// Makes durable that a call begins which must not be repeated unasked, unless there is something else to do.
  ///
  /// Throws `LeaseLost`, and `Status` FAILED_PRECONDITION where the mission does not run any more.
  func beginCall(of mission: Mission, under lease: HeldLease) async throws -> UnknownEffect.Decision {
    try await database.write { connection in
      try lease.lease.check(in: connection)
      let stored = try Self.load(mission.id, connection).mission
      guard stored.state == .running, stored.currentStep == .execution else {
        throw Status(.failedPrecondition, "mission \(mission.id) is \(stored.state.label); its tool is not begun")
      }
      let text = try connection.first("SELECT begun_call FROM tool_outputs WHERE mission_id = $1", mission.id)?
        .text("begun_call")
      let decision = UnknownEffect.decide(mark: text.flatMap { .init(text: $0) }, answers: stored.answers)
      guard decision == .call else { return decision }
      let answered = stored.answers.filter { $0.question?.id.hasPrefix(UnknownEffect.idPrefix) == true }.count
      let mark = UnknownEffect.Mark(key: stored.executionKey, answers: answered)
      try connection.execute(
        """
        INSERT INTO tool_outputs (mission_id, output, begun_call) VALUES ($1, $2, $3)
        ON CONFLICT (mission_id) DO UPDATE SET begun_call = excluded.begun_call
        """, mission.id, [UInt8](), mark.text)
      return .call
    }
  }

  /// It is known what came of the call: it asked. What an earlier, interrupted one had produced stays.
  static func forgetCall(of missionID: String, _ connection: WriteConnection) throws {
    try connection.execute("UPDATE tool_outputs SET begun_call = '' WHERE mission_id = $1", missionID)
    try connection.execute("DELETE FROM tool_outputs WHERE mission_id = $1 AND length(output) = 0", missionID)
  }
}

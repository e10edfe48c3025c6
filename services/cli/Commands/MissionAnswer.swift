import ArgumentParser
import Messages

extension MissionCommand {
  struct Answer: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Answers the question of a mission that waits for it.",
      discussion: "Without an answer it shows the question; on a terminal it asks it.")

    @OptionGroup var target: MissionTarget

    @Argument(help: ArgumentHelp("yes or no, one of the choices or its number, a text or a number: as is asked.",
      valueName: "answer"))
    var answer: String?

    @Option(help: ArgumentHelp("Only if this question is open.", valueName: "id"))
    var question: String?

    @OptionGroup var command: CommandOptions
    @OptionGroup var gateway: GatewayOptions

    func run() async throws {
      let console = Console.system()
      let mark = command.mark
      let mission = try await gateway.withGateway { [target, answer, question] client in
        try await Interruption.guarding { () -> Mission? in
          try await AnswerRun(gateway: client, console: console, mission: target.id, question: question, mark: mark)
            .run(answer)
        } interrupted: {
          nil
        }
      }
      guard let mission else { throw SilentExit(reason: .interrupted) }
      try gateway.report(mission, mark)
    }
  }
}

/// Reads an answer as the open question wants it, and sends it.
struct AnswerRun: Sendable {
  let gateway: GatewayClient
  let console: Console
  let mission: String
  /// The question's id; nil for the one that is open.
  var question: String?
  let mark: CommandMark

  /// - Parameter text: what was answered; nil to ask for it.
  /// - Throws: a usage error for an answer that the question does not take; FAILED_PRECONDITION where none is open.
  func run(_ text: String?) async throws -> Mission {
    let known = try await gateway.mission(mission)
    guard let open = known.question, question == nil || open.id == question else {
      return try await unasked(known, text)
    }
    if let text {
      return try await gateway.answer(mission, question: open.id, try parsed(text, open), mark)
    }
    guard let readLine = console.readLine else {
      console.note(QuestionText.lines(open))
      throw CommandError.usage("an answer is missing: \(QuestionText.advice(open, mission: mission))")
    }
    console.note(QuestionText.lines(open))
    while true {
      console.draw(Array(QuestionText.prompt(open).utf8))
      guard let line = try await readLine() else { throw CommandError.usage("no answer was given") }
      do {
        return try await gateway.answer(mission, question: open.id, try parsed(line, open), mark)
      } catch let error as CommandError where error.exit == .usage {
        console.note(error.description)
      }
    }
  }

  /// Asked again with its request id, a command is answered although its question is closed by it: that is the
  /// service's to say. What kind of answer it was can be seen from the answered question.
  private func unasked(_ known: Mission, _ text: String?) async throws -> Mission {
    let past = known.answers.last { question == nil || $0.question?.id == question }?.question
    if let text, let past, known.changes.contains(where: { $0.requestId == mark.requestID }) {
      return try await gateway.answer(mission, question: past.id, try parsed(text, past), mark)
    }
    throw CommandError(
      code: "FAILED_PRECONDITION",
      message: question.map { "the question \($0) of mission \(mission) is not open" }
        ?? "mission \(mission) asks nothing; it is \(known.state.words)")
  }

  private func parsed(_ text: String, _ question: Question) throws -> Answer {
    switch AnswerText.parse(text, for: question) {
    case .success(let answer): return answer
    case .failure(let problem): throw CommandError.usage(problem.description)
    }
  }
}

import Messages
import ServiceKit

/// Puts the questions of a mission that is being watched to whoever sits at the terminal, and sends the answers.
/// Without a terminal it says how to answer.
struct QuestionDesk: Sendable {
  let gateway: GatewayClient
  let console: Console
  let display: ProgressDisplay
  let mission: String

  /// Returns when the question is answered, withdrawn (by cancelling) or left to others.
  func ask(_ question: Question) async {
    // What is replayed may have been answered long ago.
    if let known = try? await gateway.mission(mission), known.question?.id != question.id { return }
    guard !Task.isCancelled else { return }
    guard let readLine = console.readLine else {
      await display.notice("the mission asks: \(question.prompt)")
      return await display.notice("answer with \(QuestionText.advice(question, mission: mission))")
    }
    await display.hold()
    console.note(QuestionText.lines(question))
    while !Task.isCancelled, await isOpen(question, readLine) {}
    await display.release()
  }

  /// Asks once. True if the question has to be asked again.
  private func isOpen(_ question: Question, _ readLine: @Sendable () async throws -> String?) async -> Bool {
    console.draw(Array(QuestionText.prompt(question).utf8))
    let line: String?
    do { line = try await readLine() } catch {
      console.note("")
      return false
    }
    guard let line else {
      console.note("\nanswer with \(QuestionText.advice(question, mission: mission))")
      return false
    }
    switch AnswerText.parse(line, for: question) {
    case .failure(let problem):
      console.note(problem.description)
      return true
    case .success(let answer): return await isRefused(answer, question)
    }
  }

  /// True if another answer may be taken.
  private func isRefused(_ answer: Answer, _ question: Question) async -> Bool {
    do {
      let mark = CommandMark(requestID: Identifier.make())
      _ = try await gateway.answer(mission, question: question.id, answer, mark)
      return false
    } catch let error as CommandError {
      console.note("buddy: \(error)")
      return error.exit == .usage || error.exit == .unavailable || error.exit == .tryAgain
    } catch {
      return false
    }
  }
}

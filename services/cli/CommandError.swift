/// What went wrong, as one line for a person and one exit status for a script.
struct CommandError: Error, Sendable, Hashable, CustomStringConvertible {
  /// A stable name in capitals, for example `NOT_FOUND`; empty where the message says everything.
  let code: String
  let message: String
  let exit: ExitReason
  /// The message without its advice, where there is advice that does not fit everywhere.
  let brief: String

  /// An error that a service or the gateway reported.
  init(code: String, message: String) {
    self.init(code: code, message: message, exit: .forCode(code))
  }

  init(code: String = "", message: String, exit: ExitReason, brief: String? = nil) {
    self.code = code
    self.message = message
    self.exit = exit
    self.brief = brief ?? message
  }

  /// Safe to print: the message may quote what a mission or a service said.
  var description: String {
    let text = TerminalText.line(message)
    return code.isEmpty ? text : "\(TerminalText.line(code)): \(text)"
  }

  /// The same, with how to find again a mission that goes on without this command.
  func pointing(to mission: String) -> CommandError {
    let advice = "`buddy mission watch \(mission)"
    guard !message.contains(advice) else { return self }
    return CommandError(
      code: code, message: "\(brief); mission \(mission) is submitted, watch it with \(advice)`", exit: exit,
      brief: brief)
  }

  static func usage(_ message: String) -> CommandError { CommandError(message: message, exit: .usage) }

  static func unexpected(_ message: String) -> CommandError {
    CommandError(code: "UNEXPECTED_ANSWER", message: message, exit: .internalError)
  }

  static func unreachable(_ address: String, _ reason: String) -> CommandError {
    CommandError(
      code: "UNAVAILABLE",
      message: "no gateway at \(address) (\(reason)); start one with `buddy up`, or name another with --address",
      exit: .unavailable, brief: reason)
  }
}

/// Ends the command with an exit status of which everything was said already.
struct SilentExit: Error {
  let reason: ExitReason
}

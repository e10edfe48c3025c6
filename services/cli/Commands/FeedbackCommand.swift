import ArgumentParser
import Foundation
import Messages

/// `buddy feedback MISSION --up`.
struct FeedbackCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "feedback", abstract: "Says how good a mission's result is; Buddy learns from it.")

  @OptionGroup var target: MissionTarget

  @Flag(help: "Good: the same as --score 1.")
  var up = false

  @Flag(help: "Bad: the same as --score 0.")
  var down = false

  @Option(parsing: .unconditional, help: ArgumentHelp("0 (useless) to 1 (perfect).", valueName: "number"))
  var score: Double?

  @Option(parsing: .unconditional, help: ArgumentHelp("1 to 5.", valueName: "number"))
  var stars: Int?

  @Option(help: ArgumentHelp("A remark, at most 4,000 characters.", valueName: "text"))
  var comment: String?

  @Option(help: ArgumentHelp("The tool that should have been used.", valueName: "tool"))
  var correction: String?

  @OptionGroup var gateway: GatewayOptions

  func validate() throws {
    _ = try resolvedScore()
    if let comment, comment.unicodeScalars.count > 4000 {
      throw ValidationError("--comment is longer than 4,000 characters")
    }
  }

  /// Exactly one way of saying it must be used.
  func resolvedScore() throws -> Double {
    var scores: [Double] = []
    if up { scores.append(1) }
    if down { scores.append(0) }
    if let score {
      guard (0...1).contains(score) else { throw ValidationError("--score must be from 0 to 1") }
      scores.append(score)
    }
    if let stars {
      guard (1...5).contains(stars) else { throw ValidationError("--stars must be from 1 to 5") }
      scores.append(Double(stars - 1) / 4)
    }
    guard scores.count == 1 else { throw ValidationError("give one of --up, --down, --score and --stars") }
    return scores[0]
  }

  func run() async throws {
    let opinion = GatewayClient.Opinion(score: try resolvedScore(), comment: comment, correction: correction)
    let feedback = try await gateway.withGateway { try await $0.giveFeedback(target.id, opinion) }
    try Console.system().print(gateway.json ? WireJSON.encode(feedback) : Self.summary(feedback))
  }

  static func summary(_ feedback: Feedback) -> String {
    guard let multiplier = feedback.multiplier else { return "thank you" }
    let value = String(format: "%.3f", multiplier.value)
    let line = "thank you: \(multiplier.tool) now counts \(value) times for \(multiplier.intent)"
    return TerminalText.line(line + (multiplier.capped ? " (the limit)" : ""))
  }
}

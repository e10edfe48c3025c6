import Foundation
import Messages
import RPC
import ServiceKit
import Stubs

/// What it may cost, and which tool does it.
extension StepRunner {
  func budget(_ mission: Mission) async throws -> StepResult {
    let declarations = try candidates(for: mission)
    let known = mission.inputs.reduce(0) { $0 + $1.size }
    let uses = declarations.map {
      $0.use(of: known, atMost: UInt64($0.maximumInputBytes), for: mission)
    }
    let answer = try await calling("investment") {
      try await peers.call(without: peers.withoutInvestment) {
        try await peers.investment.estimate(EstimateRequest(uses: uses), $0)
      }
    }
    guard let answer else { return withoutBudget(declarations, mission) }
    var choice = ToolChoice()
    for declaration in declarations {
      var candidate = candidate(declaration, mission)
      guard let estimate = answer.estimates.first(where: { $0.tool == declaration.name }) else {
        throw StepFailure("BAD_ANSWER", "the investment service gave no estimate for \(declaration.name)")
      }
      candidate.worstCase = estimate.worstCase
      if let limit = mission.budget, let worst = estimate.worstCase, worst.micros > limit.micros {
        candidate.refused = "it may cost \(worst.display), more than the mission's budget of \(limit.display)"
      }
      choice.candidates.append(candidate)
    }
    let affordable = choice.candidates.filter(\.refused.isEmpty).compactMap(\.worstCase)
    guard let worst = affordable.max(by: { $0.micros < $1.micros }) else {
      let reasons = choice.candidates.map { "\($0.tool): \($0.refused)" }.joined(separator: "; ")
      throw StepFailure("BUDGET_TOO_SMALL", "no candidate fits the budget: \(reasons)")
    }
    guard try await reserve(worst, for: mission) else { return withoutBudget(declarations, mission) }
    return StepResult(message: "reserved \(worst.display) at the most", prepare: { [choice] in $0.choice = choice })
  }

  private func withoutBudget(_ declarations: [ToolDeclaration], _ mission: Mission) -> StepResult {
    let choice = ToolChoice(candidates: declarations.map { candidate($0, mission) })
    return StepResult(
      message: "the investment service cannot be reached; going on without a budget, as configured",
      prepare: { $0.choice = choice })
  }

  /// False where the investment service cannot be reached and the policy is to go on without it.
  private func reserve(_ amount: Money, for mission: Mission) async throws -> Bool {
    let request = ReserveRequest(id: mission.id, missionId: mission.id, amount: amount, missionBudget: mission.budget)
    do {
      let reservation = try await peers.call(without: peers.withoutInvestment) {
        try await peers.investment.reserve(request, $0)
      }
      guard let reservation else { return false }
      guard reservation.state == .held else {
        throw StepFailure("RESERVATION_RELEASED", "the mission's reservation was released before it was used")
      }
      return true
    } catch let status as Status where status.code == .resourceExhausted && status != .noSpaceLeft {
      throw StepFailure("BUDGET_EXHAUSTED", status.message)
    } catch let status as Status {
      throw failure(status, calling: "investment")
    }
  }

  private func candidate(_ declaration: ToolDeclaration, _ mission: Mission) -> ToolCandidate {
    let base = declaration.intents[mission.intent?.name ?? ""] ?? 0
    return ToolCandidate(tool: declaration.name, baseConfidence: base, multiplier: 1, roiFactor: 1, score: base)
  }

  /// The tools that serve the mission's intent: all of them, or the one that was asked for.
  private func candidates(for mission: Mission) throws -> [ToolDeclaration] {
    let intent = mission.intent?.name ?? ""
    let fitting = toolbox.declarations.filter { $0.intents[intent] != nil }
    if !mission.requestedTool.isEmpty {
      guard let asked = fitting.first(where: { $0.name == mission.requestedTool }) else {
        throw StepFailure(
          "TOOL_DOES_NOT_FIT",
          "the tool \(mission.requestedTool) was asked for, but the objective is understood as \(intent), for which "
            + "there is: " + fitting.map(\.name).joined(separator: ", ") + "; word the objective as the tool's own "
            + "examples do, or add objectives like it to the `examples` of the tool's declaration")
      }
      return [asked]
    }
    guard !fitting.isEmpty else { throw StepFailure("NO_TOOL_FITS", "no tool serves the intent \(intent)") }
    return fitting
  }

  func selection(_ mission: Mission) async throws -> StepResult {
    var choice = mission.choice ?? ToolChoice()
    let request = GetMultipliersRequest(intent: mission.intent?.name ?? "", tools: choice.candidates.map(\.tool))
    let learned = try await calling("learning") {
      try await peers.call(without: peers.withoutLearning) { try await peers.learning.getMultipliers(request, $0) }
    }
    for index in choice.candidates.indices {
      let tool = choice.candidates[index].tool
      choice.candidates[index].multiplier = learned?.multipliers.first { $0.tool == tool }?.value ?? 1
      choice.candidates[index].score =
        choice.candidates[index].baseConfidence * choice.candidates[index].multiplier
        * choice.candidates[index].roiFactor
    }
    let usable = choice.candidates.filter(\.refused.isEmpty)
    guard let best = usable.max(by: { $0.score < $1.score }) else {
      throw StepFailure("NO_TOOL_FITS", "no candidate is left to choose from")
    }
    let score = best.score.hundredths
    choice.tool = best.tool
    choice.reason =
      mission.requestedTool.isEmpty ? "highest score of \(usable.count), \(score)" : "asked for, score \(score)"
    if learned == nil { choice.reason += "; the learning service cannot be reached, so nothing learned counts" }
    return StepResult(message: "\(best.tool): \(choice.reason)", prepare: { [choice] in $0.choice = choice })
  }
}

import Foundation
import Messages
import RPC
import Storage

/// What a step came to: written together with its completion.
struct StepResult: Sendable {
  /// One line about it.
  var message: String
  /// Sets what later steps rest on.
  var prepare: @Sendable (inout Mission) -> Void = { _ in }
  /// What else is stored.
  var alongside: @Sendable (WriteConnection) throws -> Void = { _ in }
  /// The newest report of progress that was not stored yet.
  var lastReport: Transition?
}

/// The six steps. Each reads the mission and the other services, and returns what it came to; it changes nothing itself,
/// but for the reports of a running tool.
struct StepRunner: Sendable {
  let store: MissionStore
  let peers: Peers
  let toolbox: Toolbox
  let classifier: IntentClassifier

  /// Throws `StepFailure` where the mission must fail, `CancellationError` where it is stopped.
  func run(_ step: Step, of mission: Mission) async throws -> StepResult {
    do {
      switch step {
      case .verification: return try await verification(mission)
      case .intent: return try await intent(mission)
      case .budget: return try await budget(mission)
      case .selection: return try await selection(mission)
      case .execution: return try await execution(mission)
      case .finalize: return try await finalize(mission)
      case .unspecified, .unrecognized: throw StepFailure("UNKNOWN_STEP", "there is no step \(step.rawValue)")
      }
    } catch let status as Status where status.code == .cancelled && Task.isCancelled {
      throw CancellationError()
    }
  }

  // MARK: - Verification and intent

  private func verification(_ mission: Mission) async throws -> StepResult {
    let inputs = try await calling("artifact") { try await peers.describe(mission.inputs) }
    let bytes = inputs.reduce(0) { $0 + $1.size }
    return StepResult(message: inputs.isEmpty ? "no inputs" : "\(inputs.count) input(s), \(bytes) bytes")
  }

  private func intent(_ mission: Mission) async throws -> StepResult {
    let inputs = try await calling("artifact") { try await peers.describe(mission.inputs) }
    let found = classifier.classify(
      objective: mission.objective, inputs: inputs.map { (name: $0.name, mediaType: $0.mediaType) })
    var intent = Intent(
      name: found.name, decision: found.decision, confidence: found.confidence, reasons: found.reasons)
    if let tool = toolbox[mission.requestedTool]?.declaration, found.decision == "none",
      let own = tool.intents.max(by: { $0.value < $1.value })
    {
      intent = Intent(
        name: own.key, decision: "single_tool", confidence: own.value,
        reasons: found.reasons + ["the tool \(tool.name) was asked for, which serves \(own.key)"])
    }
    guard intent.decision != "none" else {
      throw StepFailure(
        "NO_TOOL_FITS",
        "no tool fits this objective. Buddy can: " + toolbox.declarations.map(\.description).joined(separator: " "))
    }
    let confidence = intent.confidence.formatted(.number.precision(.fractionLength(2)))
    return StepResult(
      message: "\(intent.name), confidence \(confidence)", prepare: { [intent] in $0.intent = intent })
  }

  // MARK: - Budget

  private func budget(_ mission: Mission) async throws -> StepResult {
    let declarations = try candidates(for: mission)
    let known = try await calling("artifact") { try await peers.describe(mission.inputs) }.reduce(0) { $0 + $1.size }
    let uses = declarations.map {
      ToolUse(tool: $0.name, expectedBytes: known, maximumBytes: UInt64($0.maximumInputBytes))
    }
    let answer = try await calling("investment") {
      try await peers.call(without: peers.withoutInvestment) {
        try await peers.investment.estimate(EstimateRequest(uses: uses), $0)
      }
    }
    guard let answer else {
      let choice = ToolChoice(candidates: declarations.map { candidate($0, mission) })
      return StepResult(
        message: "the investment service cannot be reached; going on without a budget, as configured",
        prepare: { $0.choice = choice })
    }
    var choice = ToolChoice()
    for (declaration, estimate) in zip(declarations, answer.estimates) {
      var candidate = candidate(declaration, mission)
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
    try await reserve(worst, for: mission)
    return StepResult(message: "reserved \(worst.display) at the most", prepare: { [choice] in $0.choice = choice })
  }

  private func reserve(_ amount: Money, for mission: Mission) async throws {
    let request = ReserveRequest(id: mission.id, missionId: mission.id, amount: amount, missionBudget: mission.budget)
    do {
      let reservation = try await peers.call { try await peers.investment.reserve(request, $0) }
      guard reservation.state == .held else {
        throw StepFailure("RESERVATION_RELEASED", "the mission's reservation was released before it was used")
      }
    } catch let status as Status where status.code == .resourceExhausted {
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
            + "there is: " + fitting.map(\.name).joined(separator: ", "))
      }
      return [asked]
    }
    guard !fitting.isEmpty else { throw StepFailure("NO_TOOL_FITS", "no tool serves the intent \(intent)") }
    return fitting
  }

  // MARK: - Selection

  private func selection(_ mission: Mission) async throws -> StepResult {
    var choice = mission.choice ?? ToolChoice()
    let request = GetMultipliersRequest(intent: mission.intent?.name ?? "", tools: choice.candidates.map(\.tool))
    let learned = try await calling("learning") {
      try await peers.call(without: peers.withoutLearning) { try await peers.learning.getMultipliers(request, $0) }
    }
    for index in choice.candidates.indices {
      choice.candidates[index].multiplier = learned?.multipliers[index].value ?? 1
      choice.candidates[index].score =
        choice.candidates[index].baseConfidence * choice.candidates[index].multiplier
        * choice.candidates[index].roiFactor
    }
    let usable = choice.candidates.filter(\.refused.isEmpty)
    guard let best = usable.max(by: { $0.score < $1.score }) else {
      throw StepFailure("NO_TOOL_FITS", "no candidate is left to choose from")
    }
    let score = best.score.formatted(.number.precision(.fractionLength(2)))
    choice.tool = best.tool
    choice.reason =
      mission.requestedTool.isEmpty ? "highest score of \(usable.count), \(score)" : "asked for, score \(score)"
    if learned == nil { choice.reason += "; the learning service cannot be reached, so nothing learned counts" }
    return StepResult(message: "\(best.tool): \(choice.reason)", prepare: { [choice] in $0.choice = choice })
  }

  // MARK: - Execution

  private func execution(_ mission: Mission) async throws -> StepResult {
    guard let tool = toolbox[mission.choice?.tool ?? ""] else {
      throw StepFailure("UNKNOWN_TOOL", "the tool \"\(mission.choice?.tool ?? "")\" is not there any more")
    }
    let limit = tool.declaration.maximumInputBytes
    let inputs = try await calling("artifact") {
      var inputs: [ToolInput] = []
      for (named, artifact) in zip(mission.inputs, try await peers.describe(mission.inputs)) {
        let bytes = try await peers.download(artifact, limit: limit)
        let name = named.name.isEmpty ? artifact.name : named.name
        inputs.append(ToolInput(name: name, mediaType: artifact.mediaType, bytes: bytes))
      }
      return inputs
    }
    let call = ToolCall(
      missionID: mission.id, objective: mission.objective, parameters: mission.parameters, inputs: inputs,
      idempotencyKey: mission.id)
    let reporter = ProgressReporter(missionID: mission.id, store: store)
    let output = try await run(tool, call, reporter)
    let stored = StoredToolOutput(
      text: output.text, bytesRead: UInt64(output.bytesRead),
      artifacts: output.artifacts.map { StoredToolArtifact(name: $0.name, mediaType: $0.mediaType, content: $0.bytes) })
    let missionID = mission.id
    return StepResult(
      message: "\(tool.declaration.name) returned \(output.artifacts.count) artifact(s)",
      alongside: { try MissionStore.keep(stored, of: missionID, $0) }, lastReport: reporter.takeUnstored())
  }

  private func run(_ tool: any Tool, _ call: ToolCall, _ reporter: ProgressReporter) async throws -> ToolOutput {
    let declaration = tool.declaration
    let output: ToolOutput
    do {
      output = try await withThrowingTaskGroup(of: ToolOutput.self) { group in
        group.addTask { try await tool.run(call) { await reporter.report($0, $1) } }
        group.addTask {
          try await Task.sleep(for: declaration.timeLimit)
          throw StepFailure("TOOL_TIMED_OUT", "\(declaration.name) did not end within \(declaration.timeLimit)")
        }
        defer { group.cancelAll() }
        guard let output = try await group.next() else { throw CancellationError() }
        return output
      }
    } catch let error as ToolError {
      throw StepFailure(error.code, error.message, details: error.details)
    }
    let size = output.artifacts.reduce(output.text.utf8.count) { $0 + $1.bytes.count }
    guard size <= declaration.maximumOutputBytes else {
      throw StepFailure(
        "OUTPUT_TOO_LARGE", "\(declaration.name) returned \(size) bytes; at most \(declaration.maximumOutputBytes) are taken")
    }
    return output
  }

  // MARK: - Finalize

  private func finalize(_ mission: Mission) async throws -> StepResult {
    guard let output = try await store.output(of: mission.id) else {
      throw StepFailure("OUTPUT_LOST", "what the tool returned is not stored")
    }
    let artifacts = try await calling("artifact") { try await upload(output, of: mission.id) }
    let cost = try await settle(mission, bytesRead: output.bytesRead)
    let result = MissionResult(
      text: String(decoding: output.text.utf8.prefix(64 * 1_024), as: UTF8.self),
      artifacts: artifacts.map {
        ResultArtifact(artifactId: $0.id, name: $0.name, mediaType: $0.mediaType, size: $0.size)
      })
    let missionID = mission.id
    return StepResult(
      message: "stored \(artifacts.count) artifact(s)" + (cost.map { ", cost \($0.display)" } ?? ""),
      prepare: { ($0.result, $0.cost) = (result, cost) },
      alongside: { try MissionStore.dropOutput(of: missionID, $0) })
  }

  private func upload(_ output: StoredToolOutput, of missionID: String) async throws -> [Artifact] {
    try await withThrowingTaskGroup(of: (Int, Artifact).self) { group in
      for (index, content) in output.artifacts.enumerated() {
        group.addTask { (index, try await peers.upload(content, missionID: missionID, key: "\(index) \(content.name)")) }
      }
      var stored: [Int: Artifact] = [:]
      for try await (index, artifact) in group { stored[index] = artifact }
      return stored.sorted { $0.key < $1.key }.map(\.value)
    }
  }

  private func settle(_ mission: Mission, bytesRead: UInt64) async throws -> Money? {
    let use = ToolUse(tool: mission.choice?.tool ?? "", expectedBytes: bytesRead)
    do {
      return try await peers.call(without: peers.withoutInvestment) {
        try await peers.investment.settle(SettleRequest(id: mission.id, spent: .use(use)), $0)
      }?.settled
    } catch let status as Status where status.code == .notFound && peers.withoutInvestment == .open {
      // The mission went on without a reservation.
      return nil
    } catch let status as Status {
      throw failure(status, calling: "investment")
    }
  }

  // MARK: -

  private func calling<Result>(_ service: String, _ body: () async throws -> Result) async throws -> Result {
    do {
      return try await body()
    } catch let status as Status {
      throw failure(status, calling: service)
    }
  }

  private func failure(_ status: Status, calling service: String) -> any Error {
    status.code == .cancelled && Task.isCancelled ? CancellationError() : StepFailure(status, calling: service)
  }
}

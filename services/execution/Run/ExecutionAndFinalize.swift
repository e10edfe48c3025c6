import Messages
import RPC
import Stubs

/// Running the tool, and keeping what came out.
extension StepRunner {
  func execution(_ mission: Mission, under lease: HeldLease) async throws -> StepResult {
    guard let tool = toolbox[mission.choice?.tool ?? ""] else {
      throw StepFailure("UNKNOWN_TOOL", "the tool \"\(mission.choice?.tool ?? "")\" is not there any more")
    }
    let limit = tool.declaration.maximumInputBytes
    let inputs = try await calling("artifact") {
      var inputs: [ToolInput] = []
      for input in mission.inputs {
        let bytes = try await peers.download(input, limit: limit)
        inputs.append(ToolInput(name: input.name, mediaType: input.mediaType, bytes: bytes))
      }
      return inputs
    }
    let call = ToolCall(
      missionID: mission.id, objective: mission.objective, parameters: mission.parameters, inputs: inputs,
      idempotencyKey: mission.executionKey, answers: mission.toolAnswers)
    let name = tool.declaration.name
    // Nothing but this keeps a tool from starting that another process may have started as well.
    try lease.checkLive()
    if tool.declaration.mustNotRepeat {
      switch try await store.beginCall(of: mission, under: lease) {
      case .call: break
      case .ask(let number): throw InputNeeded(question: UnknownEffect.question(number, about: name))
      case .goOn(let actor):
        let text = "The tool \(name) took effect, as \(actor) says; what it returned is not known."
        return keeping(StoredToolOutput(text: text), of: mission, "\(name) took effect, as \(actor) says")
      case .fail(let actor):
        throw StepFailure("EFFECT_UNKNOWN", "it is not known whether \(name) took effect; \(actor) let it fail")
      }
      try lease.checkLive()
    }
    let reporter = ProgressReporter(missionID: mission.id, lease: lease, store: store)
    let output = try await run(tool, call, reporter, under: lease)
    let isSilent = output.text.isEmpty && output.artifacts.isEmpty
    var result = keeping(
      output.stored, of: mission,
      isSilent ? "\(name) said nothing" : "\(name) returned \(output.artifacts.count) artifact(s)")
    result.lastReport = reporter.takeUnstored()
    return result
  }

  private func keeping(_ output: StoredToolOutput, of mission: Mission, _ message: String) -> StepResult {
    StepResult(message: message, alongside: { try MissionStore.keep(output, of: mission.id, $0) })
  }

  /// Runs the tool; what it had produced is kept where it does not come to its end.
  private func run(
    _ tool: any Tool, _ call: ToolCall, _ reporter: ProgressReporter, under lease: HeldLease
  ) async throws -> ToolOutput {
    do {
      // A tool that is left to itself reports nothing more.
      defer { reporter.close() }
      let output = try await ToolRun(tool: tool, call: call) { await reporter.report($0, $1) }.output()
      try check(output, of: tool.declaration)
      return output
    } catch let error as ToolQuestion {
      throw try needed(error, call)
    } catch {
      if let soFar = call.soFar.value, (try? check(soFar, of: tool.declaration)) != nil {
        let isFailing = !Task.isCancelled && !(error is CancellationError)
        try await store.keepPartial(soFar.stored, of: call, under: lease, isFailing: isFailing)
      }
      guard let error = error as? ToolError else { throw error }
      throw StepFailure(error.code, error.message, details: error.details, isOfTool: true)
    }
  }

  private func check(_ output: ToolOutput, of declaration: ToolDeclaration) throws {
    let size = output.artifacts.reduce(output.text.utf8.count) { $0 + $1.bytes.count }
    guard size <= declaration.maximumOutputBytes else {
      throw StepFailure(
        "OUTPUT_TOO_LARGE",
        "\(declaration.name) returned \(size) bytes; at most \(declaration.maximumOutputBytes) are taken",
        isOfTool: true)
    }
  }

  /// What the mission is to ask for the tool.
  private func needed(_ asked: ToolQuestion, _ call: ToolCall) throws -> InputNeeded {
    guard !call.answers.contains(where: { $0.question?.id == asked.id }) else {
      throw StepFailure("ASKED_AGAIN", "the tool asked \"\(asked.id)\" again, which was answered", isOfTool: true)
    }
    guard call.answers.count < UnknownEffect.maximumQuestions else {
      throw StepFailure(
        "TOO_MANY_QUESTIONS", "the tool asked more than \(UnknownEffect.maximumQuestions) questions", isOfTool: true)
    }
    let question = Question(
      id: UnknownEffect.toolPrefix + asked.id, step: .execution,
      prompt: asked.prompt.storable(atMost: 1_000), kind: asked.kind, options: asked.options)
    return InputNeeded(question: question) { try MissionStore.forgetCall(of: call.missionID, $0) }
  }

  // MARK: - Finalize

  func finalize(_ mission: Mission) async throws -> StepResult {
    guard let output = try await store.output(of: mission.id) else {
      throw StepFailure("OUTPUT_LOST", "what the tool returned is not stored")
    }
    let artifacts = try await calling("artifact") { try await upload(output, of: mission.id) }
    let tool = mission.choice?.tool ?? ""
    let use =
      toolbox[tool]?.declaration.use(of: output.bytesRead, for: mission)
      ?? ToolUse(tool: tool, expectedBytes: output.bytesRead)
    let cost = try await price(use, of: mission)
    let result = MissionResult(output, artifacts, isPartial: false)
    return StepResult(
      message: "stored \(artifacts.count) artifact(s)" + (cost.map { ", cost \($0.display)" } ?? ""),
      prepare: { ($0.result, $0.cost) = (result, cost) },
      // Booked by what is stored here: a mission that is cancelled a moment before costs nothing.
      effects: [.settleReservation(SettleRequest(id: mission.id, spent: cost.map { .actual($0) } ?? .use(use)))])
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

  /// What the tool's work costs, at most what is reserved for it; nil where the investment service cannot be reached,
  /// or nothing was reserved, and the policy is to go on without it.
  private func price(_ use: ToolUse, of mission: Mission) async throws -> Money? {
    let request = EstimateRequest(uses: [use])
    let answer: EstimateResponse? = try await calling("investment") {
      guard peers.withoutInvestment == .open else {
        return try await peers.call(patience: peers.resultPatience) {
          try await peers.investment.estimate(request, $0)
        }
      }
      return try await peers.call(without: .open) { try await peers.investment.estimate(request, $0) }
    }
    let reserved = mission.choice?.candidates.filter(\.refused.isEmpty).compactMap(\.worstCase).map(\.micros).max()
    guard let reserved, var cost = answer?.estimates.first?.expected else { return nil }
    cost.micros = min(cost.micros, reserved)
    return cost
  }
}

extension ToolDeclaration {
  /// What a call is to cost for, with the tool's own price if it has one.
  func use(of expected: UInt64, atMost maximum: UInt64 = 0, for mission: Mission) -> ToolUse {
    let currency = mission.budget?.currency ?? ""
    let declared = price.map {
      Messages.Price(
        tool: name, perCall: Money(micros: $0.perCallMicros, currency: currency),
        perMebibyte: Money(micros: $0.perMebibyteMicros, currency: currency))
    }
    return ToolUse(tool: name, expectedBytes: expected, maximumBytes: maximum, declared: declared)
  }
}

extension ToolOutput {
  /// As it is stored: without what no message can hold.
  var stored: StoredToolOutput {
    StoredToolOutput(
      text: text.storable(atMost: .max), bytesRead: UInt64(bytesRead),
      artifacts: artifacts.map { artifact in
        StoredToolArtifact(
          name: artifact.name.storable(atMost: 255), mediaType: artifact.mediaType.storable(atMost: 255),
          content: artifact.bytes)
      })
  }
}

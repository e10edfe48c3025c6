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
      idempotencyKey: mission.id)
    let reporter = ProgressReporter(missionID: mission.id, lease: lease, store: store)
    // Nothing but this keeps a tool from starting that another process may have started as well.
    try lease.checkLive()
    let output = try await run(tool, call, reporter)
    let stored = StoredToolOutput(
      text: output.text.storable(atMost: .max), bytesRead: UInt64(output.bytesRead),
      artifacts: output.artifacts.map { artifact in
        StoredToolArtifact(
          name: artifact.name.storable(atMost: 255), mediaType: artifact.mediaType.storable(atMost: 255),
          content: artifact.bytes)
      })
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
          throw StepFailure(
            "TOOL_TIMED_OUT", "\(declaration.name) did not end within \(declaration.timeLimit)", isOfTool: true)
        }
        defer { group.cancelAll() }
        guard let output = try await group.next() else { throw CancellationError() }
        return output
      }
    } catch let error as ToolError {
      throw StepFailure(error.code, error.message, details: error.details, isOfTool: true)
    }
    let size = output.artifacts.reduce(output.text.utf8.count) { $0 + $1.bytes.count }
    guard size <= declaration.maximumOutputBytes else {
      throw StepFailure(
        "OUTPUT_TOO_LARGE",
        "\(declaration.name) returned \(size) bytes; at most \(declaration.maximumOutputBytes) are taken", isOfTool: true)
    }
    return output
  }

  // MARK: - Finalize

  func finalize(_ mission: Mission) async throws -> StepResult {
    guard let output = try await store.output(of: mission.id) else {
      throw StepFailure("OUTPUT_LOST", "what the tool returned is not stored")
    }
    let artifacts = try await calling("artifact") { try await upload(output, of: mission.id) }
    let use = ToolUse(tool: mission.choice?.tool ?? "", expectedBytes: output.bytesRead)
    let cost = try await price(use, of: mission)
    let result = MissionResult(
      text: String(decoding: output.text.utf8.prefix(64 * 1_024), as: UTF8.self),
      artifacts: artifacts.map {
        ResultArtifact(artifactId: $0.id, name: $0.name, mediaType: $0.mediaType, size: $0.size)
      })
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

  /// What the tool's work costs, at most what is reserved for it; nil where the investment service cannot be reached, or
  /// nothing was reserved, and the policy is to go on without it.
  private func price(_ use: ToolUse, of mission: Mission) async throws -> Money? {
    let request = EstimateRequest(uses: [use])
    let answer: EstimateResponse? = try await calling("investment") {
      guard peers.withoutInvestment == .open else {
        return try await peers.call(patience: peers.resultPatience) { try await peers.investment.estimate(request, $0) }
      }
      return try await peers.call(without: .open) { try await peers.investment.estimate(request, $0) }
    }
    let reserved = mission.choice?.candidates.filter(\.refused.isEmpty).compactMap(\.worstCase).map(\.micros).max()
    guard let reserved, var cost = answer?.estimates.first?.expected else { return nil }
    cost.micros = min(cost.micros, reserved)
    return cost
  }
}

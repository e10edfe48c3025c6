import Foundation
import Messages
import RPC
import Storage
import Stubs

/// What a step came to: written together with its completion.
struct StepResult: Sendable {
  /// One line about it.
  var message: String
  /// Sets what later steps rest on.
  var prepare: @Sendable (inout Mission) -> Void = { _ in }
  /// Effects beyond those of the step's completion.
  var effects: [Effect] = []
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

  /// Throws `StepFailure` where the mission must fail, `CancellationError` where it is stopped, `LeaseLost` where
  /// another process may run it by now.
  func run(_ step: Step, of mission: Mission, under lease: HeldLease) async throws -> StepResult {
    do {
      switch step {
      case .verification: return try await verification(mission)
      case .intent: return try await intent(mission)
      case .budget: return try await budget(mission)
      case .selection: return try await selection(mission)
      case .execution: return try await execution(mission, under: lease)
      case .finalize: return try await finalize(mission)
      case .unspecified, .unrecognized: throw StepFailure("UNKNOWN_STEP", "there is no step \(step.rawValue)")
      }
    } catch let status as Status where status.code == .cancelled && Task.isCancelled {
      throw CancellationError()
    }
  }

  // MARK: - Verification and intent

  private func verification(_ mission: Mission) async throws -> StepResult {
    let artifacts = try await calling("artifact") { try await peers.describe(mission.inputs) }
    let inputs = zip(mission.inputs, artifacts).map { input, artifact in
      MissionInput(
        name: input.name.isEmpty ? artifact.name : input.name, artifactId: artifact.id, mediaType: artifact.mediaType,
        size: artifact.size)
    }
    let bytes = inputs.reduce(0) { $0 + $1.size }
    return StepResult(
      message: inputs.isEmpty ? "no inputs" : "\(inputs.count) input(s), \(bytes) bytes",
      prepare: { $0.inputs = inputs })
  }

  private func intent(_ mission: Mission) async throws -> StepResult {
    let found = classifier.classify(
      objective: mission.objective, inputs: mission.inputs.map { (name: $0.name, mediaType: $0.mediaType) })
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
    return StepResult(
      message: "\(intent.name), confidence \(intent.confidence.hundredths)", prepare: { [intent] in $0.intent = intent })
  }

  // MARK: - Calling other services

  /// Turns what a service answered into the failure of the step.
  func calling<Result>(_ service: String, _ body: () async throws -> Result) async throws -> Result {
    do {
      return try await body()
    } catch let status as Status {
      throw failure(status, calling: service)
    }
  }

  func failure(_ status: Status, calling service: String) -> any Error {
    status.code == .cancelled && Task.isCancelled ? CancellationError() : StepFailure(status, calling: service)
  }
}

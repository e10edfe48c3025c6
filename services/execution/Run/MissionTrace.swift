import Messages
import ServiceKit
import Tracing

/// A mission's spans: one for its run, one for each step, in the trace of the call that submitted it.
extension Pipeline {
  /// As `run`, inside the mission's span. After a crash another run goes on in the same trace, with a span of its own.
  func runTraced(_ claim: Claim) async {
    await tracer.withSpan("mission", context: .continuing(claim.trace)) { span in
      span.attributes["mission.id"] = claim.mission.id
      await run(claim)
    }
  }

  /// The mission has ended: its span says how.
  func ended(_ mission: Mission) {
    guard let span = ServiceSpan.current else { return }
    span.attributes["mission.outcome"] = mission.state.label
    span.attributes["mission.tool"] = mission.choice?.tool ?? ""
    guard let error = mission.error else { return }
    span.attributes["error.type"] = error.code
    span.setStatus(SpanStatus(code: .error, message: error.message))
  }

  /// Runs a step's work inside a span of its own.
  func traced(_ step: Step, of mission: Mission, _ body: () async throws -> StepResult) async throws -> StepResult {
    try await tracer.withSpan("step \(step.label)") { span in
      span.attributes["mission.id"] = mission.id
      span.attributes["mission.step"] = step.label
      let tool = mission.choice?.tool ?? ""
      if !tool.isEmpty { span.attributes["mission.tool"] = tool }
      do {
        let result = try await body()
        span.attributes["mission.outcome"] = "COMPLETED"
        return result
      } catch {
        let isStop = error is CancellationError || Task.isCancelled
        span.attributes["mission.outcome"] = isStop ? "CANCELLED" : "FAILED"
        if let failure = error as? StepFailure { span.attributes["error.type"] = failure.error.code }
        throw error
      }
    }
  }
}

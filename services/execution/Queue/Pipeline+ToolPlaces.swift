import Messages
import Storage

/// Where a run meets the limits of tools: between the selection of a tool and its call.
extension Pipeline {
  /// How a mission goes on after a step: with the next one; or, where that is a call of a tool that has no free place,
  /// by giving its own place back. Nil after the last step.
  func next(after step: Step, of mission: Mission, _ result: StepResult, _ lease: HeldLease) -> Transition? {
    guard let next = step.next else { return nil }
    guard next == .execution else { return .begin(next) }
    var selected = mission
    result.prepare(&selected)
    let tool = selected.choice?.tool ?? ""
    guard !tool.isEmpty, !places.takeUnlessAwaited(tool, for: lease.lease) else { return .begin(next) }
    return .wait(for: ToolPlaces.shown(tool))
  }

  /// What is written together with that.
  func giveBack(_ next: Transition?, _ lease: HeldLease) -> @Sendable (WriteConnection) throws -> Void {
    guard case .wait(let tool) = next else { return { _ in } }
    return { connection in
      try MissionStore.enqueue(lease.lease.resource, waitingFor: ToolPlaces.tool(tool), connection)
      try lease.lease.release(in: connection)
      connection.afterCommit { lease.end(.released) }
      connection.notify(MissionStore.Topic.missions)
    }
  }
}

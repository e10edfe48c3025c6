import Foundation
import Logging
import Messages
import RPC
import ServiceKit
import Storage

/// Takes one mission through its six steps, from wherever it stands to its end.
struct Pipeline: Sendable {
  /// The pause before a mission goes on whose state could not be stored.
  static let storagePause = Duration.seconds(1)

  let store: MissionStore
  let steps: StepRunner
  let logger: Logger
  var tracer = ServiceTracer()
  var places = ToolPlaces()

  /// Returns when the mission has ended, was cancelled, its lease was lost, or the task was cancelled. Nothing is
  /// thrown: a failure is the mission's result, and while not even that can be stored, the mission is tried again.
  func run(_ claim: Claim) async {
    let id = claim.mission.id
    var begun: Mission? = claim.mission
    while !Task.isCancelled {
      do {
        let mission = if let begun { begun } else { try await resume(id, under: claim.lease) }
        return try await run(mission, under: claim.lease)
      } catch is LeaseLost {
        claim.lease.end(.lost)
        return  // Somebody else goes on with the mission; what its step came to here was not stored.
      } catch let status as Status where status.code == .failedPrecondition {
        return  // Somebody ended the mission meanwhile; what its step came to no longer counts.
      } catch is CancellationError {
        return
      } catch {
        logger.error(
          "a mission's state could not be stored; it will go on", metadata: ["mission": "\(id)", "error": "\(error)"])
        begun = nil
        try? await Task.sleep(for: Self.storagePause)
      }
    }
  }

  /// Begins anew the step at which the mission stands.
  private func resume(_ id: String, under lease: HeldLease) async throws -> Mission {
    let mission = try await store.mission(id)
    guard !mission.state.isTerminal, let step = mission.currentStep else { return mission }
    return try await store.change(id, under: lease, [.begin(step)])
  }

  private func run(_ begun: Mission, under lease: HeldLease) async throws {
    var mission = begun
    let id = mission.id
    while let step = mission.currentStep, mission.state == .running, mission.waitingFor.isEmpty {
      do {
        try lease.checkLive()
        let result = try await traced(step, of: mission) { [mission] in
          try await steps.run(step, of: mission, under: lease)
        }
        mission = try await finish(step, of: mission, result, under: lease)
      } catch let needed as InputNeeded {
        mission = try await store.change(id, under: lease, [.ask(step, needed.question)], alongside: needed.alongside)
      } catch {
        let failure = try failure(of: error, in: step, mission: id)
        mission = try await store.change(
          id, under: lease, [.fail(step, failure.error, isOfTool: failure.isOfTool)])
      }
    }
    guard mission.state.isTerminal else { return }
    ended(mission)
    let code = mission.error?.code ?? ""
    logger.info("mission ended", metadata: ["mission": "\(id)", "state": "\(mission.state.label)", "code": "\(code)"])
  }

  /// What an error of a step means for the mission. Throws it where it is not the mission's: storage fails, its
  /// lease is lost, somebody ended the mission, or the task is cancelled.
  private func failure(of error: any Error, in step: Step, mission: String) throws -> StepFailure {
    switch error {
    case is StorageError, is LeaseLost: throw error
    case let status as Status where status.code == .failedPrecondition: throw error
    // Whatever a tool makes of being stopped is no result: the mission goes on elsewhere or later.
    case _ where Task.isCancelled: throw CancellationError()
    case let failure as StepFailure: return failure
    default:
      logger.error(
        "a step failed unexpectedly", metadata: ["mission": "\(mission)", "step": "\(step.label)", "error": "\(error)"])
      return StepFailure("INTERNAL", "the \(step.label) step failed unexpectedly; the service's log says more")
    }
  }

  private func finish(
    _ step: Step, of mission: Mission, _ result: StepResult, under lease: HeldLease
  ) async throws -> Mission {
    var transitions: [Transition] = result.lastReport.map { [$0] } ?? []
    transitions.append(.complete(step, message: result.message.storable(atMost: StepFailure.maximumMessage)))
    let next = next(after: step, of: mission, result, lease)
    if let next { transitions.append(next) }
    let giveBack = giveBack(next, lease)
    let changed = try await store.change(
      mission.id, under: lease, transitions, prepare: result.prepare, effects: result.effects,
      alongside: {
        try result.alongside($0)
        try giveBack($0)
      })
    if step == .execution { places.leave(lease.lease) }
    return changed
  }
}

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
    let trace = TraceContext.currentText
    while !Task.isCancelled {
      do {
        let mission = if let begun { begun } else { try await resume(id, under: claim.lease) }
        let journal = StepJournal(
          mission, sequence: begun == nil ? nil : claim.sequence, under: claim.lease, in: store,
          trace: trace.isEmpty ? claim.trace : trace)
        do {
          return try await run(mission, journal)
        } catch {
          // Whoever waits for the end of the run waits for all that it writes.
          await journal.ended()
          throw error
        }
      } catch is LeaseLost {
        claim.lease.end(.lost)
        return  // Somebody else goes on with the mission; what its step came to here was not stored.
      } catch let status as Status where status.code == .failedPrecondition {
        return  // Somebody ended the mission meanwhile; what its step came to no longer counts.
      } catch is CancellationError {
        return
      } catch is StepOutdated {
        begun = nil  // The step at which the stored mission stands begins anew, on what the mission is now.
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

  private func run(_ begun: Mission, _ journal: StepJournal) async throws {
    var mission = begun
    while let step = mission.currentStep, mission.state == .running, mission.waitingFor.isEmpty {
      if mustBeCertain(before: step, mission) {
        mission = try await journal.settled()
        // The step before is stored, so the tool is not called again.
        if step == .finalize { places.leave(journal.lease.lease) }
        guard mission.currentStep == step, mission.state == .running else { continue }
      }
      let basis = StepBasis(step: step, mission: mission)
      do {
        try journal.lease.checkLive()
        let result = try await traced(step, of: mission) { [mission] in
          try await steps.run(step, of: mission, under: journal.lease)
        }
        // The next step's end comes at once: it asks nobody.
        mission = try journal.write(end(of: basis, result, journal.lease), mayWait: step.next == .intent)
      } catch let needed as InputNeeded {
        mission = try journal.write(
          .init(transitions: [.ask(step, needed.question)], alongside: needed.alongside, basis: basis))
      } catch {
        let failure = try failure(of: error, in: step, mission: mission.id)
        mission = try journal.write(
          .init(transitions: [.fail(step, failure.error, isOfTool: failure.isOfTool)], basis: basis))
      }
      if mission.currentStep == nil || mission.state != .running || !mission.waitingFor.isEmpty {
        mission = try await journal.settled()
      }
    }
    guard mission.state.isTerminal else { return }
    ended(mission)
    let code = mission.error?.code ?? ""
    logger.info(
      "mission ended", metadata: ["mission": "\(mission.id)", "state": "\(mission.state.label)", "code": "\(code)"])
  }

  /// Whether everything before a step must be stored, and the mission still to run, before the step begins: it has an
  /// effect that could not be taken back, or keeps something for good that a crash would have made anew.
  private func mustBeCertain(before step: Step, _ mission: Mission) -> Bool {
    switch step {
    case .execution: steps.toolbox[mission.choice?.tool ?? ""]?.declaration.hasSideEffects ?? true
    case .finalize: true
    default: false
    }
  }

  /// What an error of a step means for the mission. Throws it where it is not the mission's: storage fails, its
  /// lease is lost, somebody ended or changed the mission, or the task is cancelled.
  private func failure(of error: any Error, in step: Step, mission: String) throws -> StepFailure {
    switch error {
    case is StorageError, is LeaseLost, is StepOutdated: throw error
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

  private func end(of basis: StepBasis, _ result: StepResult, _ lease: HeldLease) -> StepJournal.Entry {
    let step = basis.step
    var transitions: [Transition] = result.lastReport.map { [$0] } ?? []
    transitions.append(.complete(step, message: result.message.storable(atMost: StepFailure.maximumMessage)))
    let next = next(after: step, of: basis.mission, result, lease)
    if let next { transitions.append(next) }
    let giveBack = giveBack(next, lease)
    return StepJournal.Entry(
      transitions: transitions, prepare: result.prepare, effects: result.effects,
      alongside: {
        try result.alongside($0)
        try giveBack($0)
      }, basis: basis)
  }
}

import ArgumentParser
import Foundation
import Messages
import ServiceKit

/// What `buddy run` was asked for, checked as far as it can be without the gateway.
struct MissionOrder: Sendable {
  var request: SubmitMissionRequest
  var inputs: [InputFile]
  var idempotencyKey: String
  /// False: only submit.
  var waits = true
  var json = false
}

/// Uploads, submits, watches and reports one mission: the whole of `buddy run`, without its signals and options.
struct MissionRun: Sendable {
  let gateway: GatewayClient
  let console: Console
  let order: MissionOrder
  /// Called with the mission's id as soon as it is stored.
  var submitted: @Sendable (String) -> Void = { _ in }

  /// Returns the exit status that the mission's end stands for. Throws what kept it from starting or being watched.
  func run() async throws -> ExitReason {
    let display = ProgressDisplay(console)
    do {
      let mission = try await start(display)
      do {
        return try await follow(mission, display)
      } catch let error as CommandError {
        throw error.pointing(to: mission.id)
      }
    } catch {
      await display.abandon()
      throw error
    }
  }

  private func follow(_ mission: Mission, _ display: ProgressDisplay) async throws -> ExitReason {
    guard order.waits else {
      await display.abandon()
      return try report(mission, finished: false)
    }
    let finished = try await MissionWatch(
      gateway: gateway, mission: mission.id, display: display, console: console
    ).run()
    await display.finish()
    return try report(finished, finished: true)
  }

  private func start(_ display: ProgressDisplay) async throws -> Mission {
    var request = order.request
    request.inputs = try await upload(display)
    let mission = try await gateway.submit(request, idempotencyKey: order.idempotencyKey)
    submitted(mission.id)
    if mission.state == .pendingApproval {
      await display.notice("mission \(mission.id) waits for approval: buddy mission approve \(mission.id)")
    } else if !console.isErrorTerminal {
      await display.notice("mission \(mission.id)")
    }
    return mission
  }

  private func upload(_ display: ProgressDisplay) async throws -> [MissionInput] {
    var inputs: [MissionInput] = []
    for file in order.inputs {
      await display.transient("uploading \(file.name) (\(SizeText.format(file.size)))")
      let artifact = try await withUploadTicks(file, display) { progress in
        try await gateway.upload(file, progress: progress)
      }
      inputs.append(MissionInput(name: file.name, artifactId: artifact.id))
    }
    return inputs
  }

  /// Shows how far an upload is, at most five times a second.
  private func withUploadTicks(
    _ file: InputFile, _ display: ProgressDisplay,
    _ body: (@escaping @Sendable (UInt64) -> Void) async throws -> Artifact
  ) async throws -> Artifact {
    let (amounts, report) = AsyncStream.makeStream(of: UInt64.self, bufferingPolicy: .bufferingNewest(1))
    return try await withThrowingTaskGroup(of: Void.self) { group in
      group.addTask {
        for await amount in amounts {
          let percent = file.size == 0 ? 100 : min(100, Double(amount) * 100 / Double(file.size))
          await display.transient("uploading \(file.name) \(ProgressBar.percent(percent))")
          try? await Task.sleep(for: .milliseconds(200))
        }
      }
      defer { group.cancelAll() }
      return try await body { report.yield($0) }
    }
  }

  private func report(_ mission: Mission, finished: Bool) throws -> ExitReason {
    if order.json {
      try console.print(WireJSON.encode(mission))
    } else if !finished {
      try console.print(mission.id)
      console.note("watch it with `buddy mission watch \(mission.id)`")
    } else {
      let text = MissionReport.result(mission, address: gateway.address)
      if !text.isEmpty { try console.print(text) }
    }
    guard finished else { return .success }
    if let failure = MissionReport.failure(mission) { console.note("buddy: \(failure)") }
    return MissionReport.exit(mission)
  }
}

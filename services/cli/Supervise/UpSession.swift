import Foundation
import ServiceKit

/// One `buddy up`, from the first process to the last: start, get ready, perhaps run a mission, stay, stop.
struct UpSession: Sendable {
  let fleet: ServiceFleet
  let console: Console
  /// A mission to run once everything is up.
  let order: MissionOrder?
  let verbose: Bool
  let startLimit: Duration
  let grace: Duration

  private enum Outcome: Sendable {
    case signalled
    case failed(Supervisor.Failure)
    case finished(ExitReason)
  }

  /// Returns when everything is stopped. A signal is the usual end: status 0.
  func run() async throws -> ExitReason {
    let interruption = await Interruption.trap()
    let signals = interruption.stream()
    let supervisor = Supervisor(fleet.commands) { [console] in console.note("buddy: \($0)") }
    await supervisor.start()
    let logs = verbose ? followLogs() : []
    let outcome = await Result { try await untilEnd(supervisor, signals) }
    await stop(supervisor, interruption.stream())
    for log in logs { log.cancel() }
    switch try outcome.get() {
    case .signalled: return .success
    case .finished(let reason): return reason
    case .failed(let failure): throw await error(failure.service, failure.reason)
    }
  }

  /// What happens first: a signal, a service that does not stay up, or the end of what was to be done.
  private func untilEnd(_ supervisor: Supervisor, _ signals: AsyncStream<Void>) async throws -> Outcome {
    try await withThrowingTaskGroup(of: Outcome?.self) { group in
      group.addTask {
        for await _ in signals { return .signalled }
        return nil
      }
      group.addTask {
        for await failure in supervisor.failures { return .failed(failure) }
        return nil
      }
      group.addTask { try await work() }
      defer { group.cancelAll() }
      while let outcome = try await group.next() {
        if let outcome { return outcome }
      }
      return .signalled
    }
  }

  private func work() async throws -> Outcome? {
    let address = GatewayAddress(host: ServiceFleet.host, port: fleet.ports.service[.gateway] ?? 0)
    return try await GatewayClient.with(address) { gateway in
      try await waitUntilReady(gateway)
      // What runs is worth more than the line that says so.
      try? console.print("Buddy is ready at \(address)")
      guard let order else { return nil }
      let reason = await mission(order, gateway)
      guard isatty(STDIN_FILENO) == 1, console.isOutputTerminal else { return .finished(reason) }
      console.note("Buddy stays up; Ctrl-C stops it.")
      return nil
    }
  }

  /// A mission that fails is no reason to take everything down where somebody is watching.
  private func mission(_ order: MissionOrder, _ gateway: GatewayClient) async -> ExitReason {
    do {
      return try await MissionRun(gateway: gateway, console: console, order: order).run()
    } catch let error as CommandError {
      console.note("buddy: \(error)")
      return error.exit
    } catch {
      return .interrupted
    }
  }

  private func waitUntilReady(_ gateway: GatewayClient) async throws {
    let limit = ContinuousClock.now + startLimit
    var failing: [String]
    repeat {
      do {
        failing = try await gateway.health().health.failing
      } catch let error as CommandError where error.exit == .unavailable || error.exit == .tryAgain {
        failing = [ServiceName.gateway.rawValue]
      }
      if failing.isEmpty { return }
      try await Task.sleep(for: .milliseconds(50))
    } while ContinuousClock.now < limit
    let name = failing.compactMap(ServiceName.init(rawValue:)).first ?? .gateway
    throw await error(name, "it did not begin to serve within \(DurationText.spoken(startLimit))")
  }

  /// Says what a service wrote last, and makes the error.
  private func error(_ service: ServiceName, _ reason: String) async -> CommandError {
    let log = "\(fleet.data)/logs/\(service.rawValue).log"
    for line in await LogFiles.tail(log, lines: 10) { console.note("\(service.rawValue) | \(line)") }
    return CommandError(
      code: "SERVICE_FAILED", message: "\(ServiceFleet.program(service)): \(reason); its log is \(log)", exit: .failed)
  }

  /// A second signal cuts the grace short.
  private func stop(_ supervisor: Supervisor, _ signals: AsyncStream<Void>) async {
    let hurry = Task {
      for await _ in signals {
        await supervisor.killAll()
        return
      }
    }
    await supervisor.stop(grace: grace)
    hurry.cancel()
  }

  private func followLogs() -> [Task<Void, Never>] {
    fleet.commands.map { command in
      Task { [console] in
        await LogFiles.follow(command.log) { console.note("\(command.name.rawValue) | \($0)") }
      }
    }
  }
}

extension Result where Failure == any Error {
  /// The outcome of an asynchronous body.
  fileprivate init(_ body: () async throws -> Success) async {
    do { self = .success(try await body()) } catch { self = .failure(error) }
  }
}

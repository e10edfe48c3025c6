import Foundation
import ServiceKit
import Subprocess
import SystemPackage

/// One run of a service's process.
///
/// Its standard error is its log file itself: nothing it says is lost when this process dies. Its standard input is a
/// pipe whose other end only this process holds: when this process ends, however it ends, the pipe ends, and a service
/// that was told so (`BUDDY_EXIT_WITH_PARENT`) stops. PR_SET_PDEATHSIG would not do: it fires when the *thread* that
/// forked ends. Its standard output is read here, which is how its end is noticed. It has its own process group, so
/// that Ctrl-C reaches this process alone and services stop in their order.
struct ChildProcess: Sendable {
  let id: Int32
  /// Sends a signal. Does nothing once the process has ended. Must not be kept longer than `run`'s body runs.
  let send: @Sendable (Int32) -> Void

  /// Starts a process, calls `started` once it runs and `ended` once it does not, and returns how it ended.
  static func run(
    _ command: ServiceCommand, started: @escaping @Sendable (ChildProcess) async -> Void,
    ended: @escaping @Sendable () async -> Void
  ) async -> ServiceEnding {
    do {
      let log = try FileDescriptor.open(
        FilePath(command.log), .writeOnly, options: [.append, .create, .closeOnExec], permissions: .ownerReadWrite)
      defer { try? log.close() }
      return try await run(command, log, started, ended)
    } catch {
      return .notStarted(TerminalText.line("\(error)"))
    }
  }

  private static func run(
    _ command: ServiceCommand, _ log: FileDescriptor, _ started: @Sendable (ChildProcess) async -> Void,
    _ ended: @Sendable () async -> Void
  ) async throws -> ServiceEnding {
    var platform = PlatformOptions()
    platform.processGroupID = 0
    let result = try await Subprocess.run(
      .path(FilePath(command.executable)), arguments: Arguments(command.arguments),
      environment: .inherit.updating(["BUDDY_EXIT_WITH_PARENT": "true"]), platformOptions: platform,
      input: .inputWriter, output: .sequence,
      error: .fileDescriptor(log, closeAfterSpawningProcess: false)
    ) { execution in
      await started(ChildProcess(id: execution.processIdentifier.value) { signal in
        try? execution.send(signal: Signal(rawValue: signal))
      })
      await drain(execution.standardOutput, into: log)
      // Its output ends before it does only if it closes it; without an end to wait for, it has to go.
      await execution.teardown(using: [.gracefulShutDown(allowedDurationToNextStep: .seconds(5))])
      await ended()
    }
    switch result.terminationStatus {
    case .exited(let status): return .exited(status)
    case .signaled(let signal): return .killed(signal: signal)
    }
  }

  /// Services say what they have to say on standard error; anything here goes to the same log. The library ends the
  /// sequence, perhaps with an error, when the process ends, even if a child of it still holds the pipe.
  private static func drain(_ output: SubprocessOutputSequence, into log: FileDescriptor) async {
    do {
      for try await piece in output { _ = try piece.withUnsafeBytes { try log.writeAll($0) } }
    } catch {
      return
    }
  }
}

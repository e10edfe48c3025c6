import Foundation
import NIOPosix
import Subprocess
import SystemPackage

/// One run of a program, which neither it nor anything it starts outlives.
///
/// ```
/// sh ─┬─ becomes the program (exec): the leader of a session and process group of its own
///     └─ waits for the end of a pipe whose other end only this process holds, then kills the group
/// ```
///
/// When the call is stopped, the whole group is killed at once: SIGKILL, because a program that is asked politely may
/// go on for as long as it likes, and nothing may begin after a cancel's answer. When this process dies, however it
/// dies, the pipe ends and the waiting half of the shell does the same. PR_SET_PDEATHSIG would not do: it fires when the
/// *thread* that forked ends, and reaches no grandchildren. The waiting half is of the group too, so that the group's
/// number is never another's while it may yet be killed.
///
/// A process that is stopped (SIGSTOP) closes no pipe: its program runs on until the process dies or goes on.
///
/// A child may leave the group (`setsid`). Each child has inherited the variable `BUDDY_TOOL_CALL`, by which it is
/// found and killed when the call ends, or when a service starts after this one was killed. Only one that has left the
/// group, cleared its environment *and* lost its parent cannot be found.
struct CommandProcess: Sendable {
  /// The last bytes of standard error that are kept.
  static let maximumTail = 4_096

  enum Ending: Sendable {
    case exited(Int32)
    case killed(signal: Int32)
  }

  struct Result: Sendable {
    let ending: Ending
    /// The last that it said on standard error.
    let tail: String
    /// What `take` threw.
    let failure: (any Error)?
  }

  /// `$1` is the file that becomes standard input, the rest the program and its arguments.
  private static let script = """
    exec 3<&0
    { while read -r _ <&3; do :; done; kill -KILL 0; } >/dev/null 2>&1 &
    call=$1
    shift
    exec "$@" 3<&- <"$call"
    """

  let command: [String]
  /// Everything the program's environment has, but for the mark.
  let environment: [String: String]
  /// Where it works.
  let folder: String
  /// The file it reads as standard input.
  let input: String
  /// The longest line of its output, in bytes.
  let maximumLine: Int

  /// Runs it to its end, or kills it when the task is cancelled or `take`, which is given each line of its output,
  /// throws. Throws where it could not be started.
  func run(_ take: @escaping @Sendable ([UInt8]) async throws -> Void) async throws -> Result {
    let mark = ProcessMark.make()
    var platform = PlatformOptions()
    platform.createSession = true
    platform.teardownSequence = [.send(signal: .kill, toProcessGroup: true, allowedDurationToNextStep: .zero)]
    var variables = environment
    variables[ProcessSweep.variable] = mark
    let group = ProcessGroup()
    let result = try await Subprocess.run(
      .path("/bin/sh"), arguments: Arguments(["-c", Self.script, "sh", input] + command),
      environment: .custom(
        Dictionary(uniqueKeysWithValues: variables.map { (Environment.Key(stringLiteral: $0), $1) })),
      workingDirectory: FilePath(folder), platformOptions: platform, input: .inputWriter, output: .sequence,
      error: .sequence
    ) { execution -> (tail: String, failure: (any Error)?) in
      await withTaskCancellationHandler {
        group.began(execution.processIdentifier.value)
        async let tail = Self.tail(of: execution.standardError)
        var failure: (any Error)?
        do {
          try await lines(of: execution.standardOutput, take)
        } catch {
          failure = error
          group.kill()
        }
        let said = await tail
        // Nothing but its end is left to wait for: signal 0 asks, and does nothing.
        await execution.teardown(
          using: [.send(signal: Signal(rawValue: 0), allowedDurationToNextStep: .seconds(86_400))])
        // It is dead, but not reaped yet: its number is still its own. What it has left running goes with it.
        group.end()
        return (said, failure)
      } onCancel: {
        group.kill()
      }
    }
    await ProcessSweep.kill(markedWith: mark)
    let ending: Ending =
      switch result.terminationStatus {
      case .exited(let status): .exited(Int32(status))
      case .signaled(let signal): .killed(signal: Int32(signal))
      }
    return Result(ending: ending, tail: result.closureResult.tail, failure: result.closureResult.failure)
  }

  private func lines(
    of output: SubprocessOutputSequence, _ take: @Sendable ([UInt8]) async throws -> Void
  ) async throws {
    var rest: [UInt8] = []
    for try await piece in output {
      let bytes = piece.withUnsafeBytes { Array($0) }
      var start = 0
      while let end = bytes[start...].firstIndex(of: 0x0A) {
        rest += bytes[start..<end]
        try await take(rest)
        rest.removeAll(keepingCapacity: true)
        start = end + 1
      }
      rest += bytes[start...]
      guard rest.count <= maximumLine else {
        throw ToolError("OUTPUT_TOO_LARGE", "A line of the program's output is longer than \(maximumLine) bytes.")
      }
    }
    // A last line that was cut short because the program was stopped is none.
    if !rest.isEmpty, !Task.isCancelled { try await take(rest) }
  }

  private static func tail(of errors: SubprocessOutputSequence) async -> String {
    var tail: [UInt8] = []
    do {
      for try await piece in errors {
        tail += piece.withUnsafeBytes { Array($0) }
        if tail.count > 2 * maximumTail { tail.removeFirst(tail.count - maximumTail) }
      }
    } catch {
      // What was read so far is what there is to tell.
    }
    return String(decoding: tail.suffix(maximumTail), as: UTF8.self)
  }
}

import Foundation
import Messages
import NIOCore
import NIOPosix
import Synchronization

/// A program as a tool. It is given the call as one JSON object on standard input and answers by lines of JSON; see
/// `CommandOutput` for those and deploy/examples/tools/README.md for the whole of it.
struct CommandTool: Tool {
  /// What every program is given of this process's environment.
  private static let inherited = ["PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR"]

  let declaration: ToolDeclaration
  private let command: [String]
  private let environment: [String: String]

  init(_ declared: CommandDeclaration) {
    declaration = declared.tool
    command = declared.command
    let own = ProcessInfo.processInfo.environment
    environment = own.filter { (Self.inherited + declared.environment).contains($0.key) }
  }

  func run(_ call: ToolCall, progress: @escaping ToolProgress) async throws -> ToolOutput {
    let (folder, input) = try await NIOThreadPool.singleton.runIfActive {
      let folder = try CommandFolder.make()
      do {
        return (folder, try folder.write(call))
      } catch {
        folder.remove()
        throw error
      }
    }
    let result: Result<ToolOutput, any Error>
    do {
      result = .success(try await run(call, in: folder, input, progress))
    } catch {
      result = .failure(error)
    }
    try? await NIOThreadPool.singleton.runIfActive { folder.remove() }
    try Task.checkCancellation()
    return try result.get()
  }

  private func run(
    _ call: ToolCall, in folder: CommandFolder, _ input: String, _ progress: @escaping ToolProgress
  ) async throws -> ToolOutput {
    let bytesRead = call.inputs.reduce(0) { $0 + $1.bytes.count }
    let output = CollectedOutput(
      CommandOutput(maximumBytes: declaration.maximumOutputBytes) { try folder.read($0, maximumBytes: $1) })
    let process = CommandProcess(
      command: command, environment: environment, folder: folder.path, input: input, maximumLine: output.maximumLine)
    try Task.checkCancellation()
    let result = try await process.run { line in
      // A line may name a file, which is read on a thread that may block.
      let taken = try await NIOThreadPool.singleton.runIfActive { try output.take(line) }
      if let (share, message) = taken.progress { await progress(share, message) }
      if taken.isOutput { call.soFar.set(output.output(bytesRead: bytesRead)) }
    }
    try check(result, output)
    return output.output(bytesRead: bytesRead)
  }

  /// Throws what the program said of why it came to nothing, or what can be said of its end.
  private func check(_ result: CommandProcess.Result, _ output: CollectedOutput) throws {
    try Task.checkCancellation()
    if let failure = result.failure { throw failure }
    if let failure = output.failure { throw failure }
    let why: String
    switch result.ending {
    case .exited(0):
      if let question = output.question { throw question }
      return
    case .exited(let status): why = "ended with status \(status)"
    case .killed(let signal): why = "was killed by signal \(signal)"
    }
    let said = result.tail.trimmedWhitespace
    throw ToolError(
      "TOOL_FAILED", "\(declaration.name) \(why)" + (said.isEmpty ? "." : ": \(String(said.suffix(800)))"))
  }
}

/// The output as the lines of a program make it.
private final class CollectedOutput: Sendable {
  let maximumLine: Int
  private let output: Mutex<CommandOutput>

  init(_ output: CommandOutput) {
    maximumLine = output.maximumLine
    self.output = Mutex(output)
  }

  var failure: ToolError? { output.withLock { $0.failure } }
  var question: ToolQuestion? { output.withLock { $0.question } }

  func take(_ line: [UInt8]) throws -> CommandOutput.Line { try output.withLock { try $0.take(line) } }
  func output(bytesRead: Int) -> ToolOutput { output.withLock { $0.output(bytesRead: bytesRead) } }
}

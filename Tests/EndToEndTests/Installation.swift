import Foundation
import ServiceTestSupport
import TestSupport

/// `buddy up` on free ports with a data folder of its own: the real binaries as real processes.
final class Installation: Sendable {
  let folder: TemporaryFolder
  let up: ServiceProcess
  let address: String

  init(_ flags: [String] = [], environment: [String: String] = [:]) async throws {
    let folder = try TemporaryFolder("installation")
    let up = try ServiceProcess(
      "buddy", ["up", "--port", "0", "--data", folder.file("data")] + flags, in: folder, environment: environment)
    try await eventually("buddy up is ready", within: .seconds(60)) {
      guard up.isRunning else { throw NeverHappened(description: "buddy up ended:\n\(up.log)") }
      return Self.address(in: up.log) != nil
    }
    self.folder = folder
    self.up = up
    address = Self.address(in: up.log) ?? ""
  }

  private static func address(in log: String) -> String? {
    log.firstMatch(of: #/ready at (http:\/\/[0-9.:]+)/#).map { String($0.1) }
  }

  /// Runs `buddy` with arguments against this installation.
  func buddy(_ arguments: String...) async throws -> Command.Result {
    try await Command.run("buddy", arguments + ["--address", address], in: folder)
  }

  /// A file with this content, to hand to `buddy run`.
  func file(_ name: String, _ content: String) throws -> String {
    let path = folder.file(name)
    try Data(content.utf8).write(to: URL(fileURLWithPath: path))
    return path
  }

  /// The processes that `buddy up` has started, by program.
  func services() throws -> [String: Int32] {
    var found: [String: Int32] = [:]
    for entry in try FileManager.default.contentsOfDirectory(atPath: "/proc") {
      guard let id = Int32(entry), let status = try? String(contentsOfFile: "/proc/\(id)/status", encoding: .utf8),
        status.contains("\nPPid:\t\(up.id)\n"),
        let line = FileManager.default.contents(atPath: "/proc/\(id)/cmdline")
      else { continue }
      let program = String(decoding: line.prefix { $0 != 0 }, as: UTF8.self)
      found[URL(fileURLWithPath: program).lastPathComponent] = id
    }
    return found
  }

  /// Stops everything as Ctrl-C would, and returns the exit code of `buddy up`.
  func stop() async throws -> Int32 {
    up.send(SIGINT)
    return try await up.ended()
  }
}

/// One run of a binary to its end.
enum Command {
  struct Result: Sendable {
    let code: Int32
    let output: String
    let errors: String
  }

  static func run(_ program: String, _ arguments: [String], in folder: TemporaryFolder) async throws -> Result {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: ServiceProcess.binaries + "/" + program)
    process.arguments = arguments
    let (output, errors) = (folder.file(UUID().uuidString), folder.file(UUID().uuidString))
    for path in [output, errors] { try Data().write(to: URL(fileURLWithPath: path)) }
    process.standardInput = FileHandle.nullDevice
    process.standardOutput = FileHandle(forWritingAtPath: output)
    process.standardError = FileHandle(forWritingAtPath: errors)
    try process.run()
    defer { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }
    try await eventually("\(program) \(arguments) ends", within: .seconds(90)) { !process.isRunning }
    return Result(
      code: process.terminationStatus, output: try String(contentsOfFile: output, encoding: .utf8),
      errors: try String(contentsOfFile: errors, encoding: .utf8))
  }
}

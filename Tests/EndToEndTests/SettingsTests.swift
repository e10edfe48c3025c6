import Foundation
import ServiceKit
import ServiceTestSupport
import TestSupport
import Testing

/// What the programs themselves say of their settings.
@Suite(.timeLimit(.minutes(2))) struct SettingsTests {
  private static let services: [ServiceName] = [.gateway, .execution, .progress, .learning, .investment, .artifact]

  /// What a program prints, and its exit code.
  private func output(_ service: ServiceName, _ arguments: [String]) async throws -> (text: String, code: Int32) {
    let folder = try TemporaryFolder("settings")
    let process = try ServiceProcess("buddy-\(service.rawValue)", arguments, in: folder)
    let code = try await process.ended()
    return (process.log, code)
  }

  /// A file of settings is for all services, so each has to know the names of the others' settings.
  @Test(arguments: services)
  func everySettingMayStandInAFile(_ service: ServiceName) async throws {
    let help = try await output(service, ["--help"]).text
    let names = help.matches(of: #/(?m)^  --([a-z0-9-]+)/#).map { String($0.1) }
    let known = names.filter { !["help", "print-config", "config"].contains($0) }
    #expect(known.count > 10)
    let folder = try TemporaryFolder("settings")
    for name in known {
      // Another service reads it: the name must be known, the value is not its business.
      try Data(#"{"\#(service.rawValue)": {"\#(name)": null}}"#.utf8).write(
        to: URL(fileURLWithPath: folder.file("buddy.json")))
      #expect(throws: Never.self) { try checkConfigurationFile(folder.file("buddy.json")) }
    }
  }

  @Test(arguments: services)
  func printsItsConfigurationAndEnds(_ service: ServiceName) async throws {
    let folder = try TemporaryFolder("settings")
    let file = folder.file("buddy.json")
    try Data(#"{"log-level": "debug", "\#(service.rawValue)": {"trace-sample": 0.5}}"#.utf8).write(
      to: URL(fileURLWithPath: file))
    let (text, code) = try await output(service, ["--config", file, "--port", "1", "--print-config"])
    #expect(code == 0)
    #expect(text.contains("config = \(file)  (flag)\n"))
    #expect(text.contains("port = 1  (flag)\n"))
    #expect(text.contains("log-level = debug  (file)\n"))
    #expect(text.contains("trace-sample = 0.5  (file)\n"))
    #expect(text.contains("exit-with-parent = true  (variable)\n"))
    #expect(text.contains("shutdown-grace = 30s  (default)\n"))
    #expect(!text.contains("listening"))
  }

  @Test func aBadFileStopsTheStart() async throws {
    let folder = try TemporaryFolder("settings")
    let file = folder.file("buddy.json")
    try Data(#"{"maximum-runing": 1}"#.utf8).write(to: URL(fileURLWithPath: file))
    let (text, code) = try await output(.learning, ["--config", file])
    #expect(code == ExitCode.usage.rawValue)
    #expect(text.contains("\(file): maximum-runing is not a setting; did you mean maximum-running?"))
  }

  @Test func theLogTellsTheConfigurationAtTheStart() async throws {
    let folder = try TemporaryFolder("settings")
    let process = try ServiceProcess(
      "buddy-learning", ["--port", "0", "--admin-port", "0", "--data", folder.path], in: folder,
      environment: ["BUDDY_LOG_LEVEL": "debug"])
    _ = try await process.port()
    let line = process.log.split(separator: "\n").first { $0.contains("configuration") }
    for text in [#"port="0 (flag)""#, #"log-level="debug (variable)""#, #"trace-sample="1 (default)""#] {
      #expect(line?.contains(text) == true, "\(text)")
    }
    process.send(SIGTERM)
    #expect(try await process.ended() == 0)
  }

  /// The example in the repository is one that every service takes.
  @Test(arguments: services)
  func theExampleIsTaken(_ service: ServiceName) async throws {
    let example = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../deploy/examples/buddy.json").standardizedFileURL.path
    let (text, code) = try await output(service, ["--config", example, "--print-config"])
    #expect(code == 0, "\(text)")
    #expect(text.contains("(file)"))
  }
}

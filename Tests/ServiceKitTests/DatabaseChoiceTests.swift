import Foundation
import ServiceKit
import TestSupport
import Testing

/// What a program that starts services takes their database to be.
@Suite struct DatabaseChoiceTests {
  private static let url = "postgres://eva:s3cret-word@db.example/buddy"
  private static let shown = "postgres://eva@db.example/buddy"

  private func choice(
    _ arguments: [String] = [], _ environment: [String: String] = [:], _ service: ServiceName = .execution
  ) throws -> DatabaseChoice {
    try DatabaseChoice(of: service, arguments: arguments, environment: environment)
  }

  private func variables(_ database: String) -> [String: String] {
    ["BUDDY_DATABASE": database, "BUDDY_DATABASE_FILE": "", "BUDDY_CONFIG": ""]
  }

  @Test func allWaysLeadToOneVariable() throws {
    let folder = try TemporaryFolder("choice")
    let (secret, config) = (folder.file("secret"), folder.file("config.json"))
    try Data("\(Self.url)\n".utf8).write(to: URL(fileURLWithPath: secret))
    try Data(#"{"database-file": "\#(secret)", "log-level": "debug"}"#.utf8).write(to: URL(fileURLWithPath: config))
    chmod(config, 0o600)
    let ways: [([String], [String: String])] = [
      (["--database=\(Self.url)"], [:]), (["--database-file=\(secret)"], [:]), (["--config=\(config)"], [:]),
      ([], ["BUDDY_DATABASE": Self.url]), ([], ["BUDDY_DATABASE_FILE": secret]), ([], ["BUDDY_CONFIG": config]),
    ]
    for (arguments, environment) in ways {
      let choice = try choice(arguments, environment)
      #expect(choice.environment == variables(Self.url), "\(arguments) \(environment)")
      #expect(choice.shown == Self.shown)
    }
  }

  @Test func nothingAndAnEmptyFlagMeanFiles() throws {
    for choice in [try choice(), try choice(["--database="], ["BUDDY_DATABASE": Self.url])] {
      #expect(choice.shown.isEmpty)
      #expect(choice.environment == variables(""))
    }
  }

  @Test func aServiceMayHaveItsOwn() throws {
    let folder = try TemporaryFolder("choice")
    let config = folder.file("config.json")
    try Data(#"{"learning": {"database": "\#(Self.shown)"}}"#.utf8).write(to: URL(fileURLWithPath: config))
    chmod(config, 0o600)
    #expect(try choice(["--config=\(config)"]).shown.isEmpty)
    #expect(try choice(["--config=\(config)"], [:], .learning).shown == Self.shown)
  }

  @Test func whatAServiceWouldRefuseIsRefused() throws {
    for (arguments, environment) in [
      (["--database=mysql://eva:s3cret-word@db/x"], [:]), (["--database-file=/none"], [:]),
      (["--database=\(Self.url)"], ["BUDDY_DATABASE_FILE": "/some/file"]),
    ] {
      let error = #expect(throws: SettingError.self) { try choice(arguments, environment) }
      #expect(error?.description.contains("s3cret-word") == false)
    }
  }
}

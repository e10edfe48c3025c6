import Foundation
import TestSupport
import Testing

/// Whatever is wrong gives one clear line with a code, and an exit status other than 0.
@Suite struct BadInputTests {
  private static let sales = "region,price\nNorth,10\nSouth,20\n"

  @Test func aMissionThatCannotSucceedSaysWhy() async throws {
    let installation = try await Installation()
    let good = try installation.file("good.csv", Self.sales)
    let empty = try installation.file("empty.csv", "")
    let torn = try installation.file("torn.csv", "region,price\n\"North,10\n")
    let cases: [(arguments: [String], code: String, exit: Int32)] = [
      (["Average price by regoin", "--input", good], "UNKNOWN_COLUMN", 1),
      (["Average price by region", "--input", empty], "EMPTY_INPUT", 1),
      (["Average price by region", "--input", torn], "MALFORMED_CSV", 1),
      (["Average price by region", "--input", installation.folder.file("none.csv")], "none.csv", 66),
      (["Average price by region"], "MISSING_INPUT", 1),
      (["Get the title of http://127.0.0.1:1/"], "ADDRESS_REFUSED", 1),
      (["Write a sad poem about the moon"], "NO_TOOL_FITS", 1),
      (["What is 1 / 0?"], "DIVISION_BY_ZERO", 1),
      (["What is 1 + 1?", "--tool", "nope"], "INVALID_ARGUMENT", 64),
      (["What is 1 + 1?", "--budget", "0"], "BUDGET_TOO_SMALL", 1),
      (["  "], "objective", 64),
      (["What is 1 + 1?", "--deadline", "yesterday"], "yesterday", 64),
    ]
    for test in cases {
      let run = try await Command.run(
        "buddy", ["run"] + test.arguments + ["--address", installation.address], in: installation.folder)
      #expect(run.code == test.exit, "\(test.arguments): \(run.errors)")
      #expect(run.errors.contains(test.code), "\(test.arguments): \(run.errors)")
    }
    let wrong = try await installation.buddy("mission", "show", "m-123")
    #expect(wrong.code == 66)
    #expect(wrong.errors.contains("NOT_FOUND"))
    #expect(wrong.errors.split(separator: "\n").count == 1)
  }

  @Test func withoutAGatewayThereIsAnErrorAndNoHanging() async throws {
    let folder = try TemporaryFolder("nothing")
    let run = try await Command.run("buddy", ["run", "1 + 1", "--address", "http://127.0.0.1:1"], in: folder)
    #expect(run.code == 69)
    #expect(run.errors.contains("buddy up"))
  }

  @Test func aMistypedCommandIsExplained() async throws {
    let folder = try TemporaryFolder("nothing")
    for arguments in [["rnu"], ["run"], ["run", "x", "--nope"], ["mission", "show"]] {
      let run = try await Command.run("buddy", arguments, in: folder)
      #expect(run.code == 64, "\(arguments)")
      #expect(run.errors.contains("Usage"), "\(arguments): \(run.errors)")
    }
  }

  @Test func aTakenPortIsNamed() async throws {
    let installation = try await Installation()
    let port = try #require(installation.address.split(separator: ":").last)
    let folder = try TemporaryFolder("second")
    let second = try await Command.run(
      "buddy", ["up", "--port", String(port), "--data", folder.file("data")], in: folder)
    #expect(second.code == 69)
    #expect(second.errors.contains(String(port)) && second.errors.contains("--port"), "\(second.errors)")
    let sameData = try await Command.run(
      "buddy", ["up", "--port", "0", "--data", installation.folder.file("data")], in: folder)
    #expect(sameData.code != 0)
    #expect(sameData.errors.contains(installation.folder.file("data")), "\(sameData.errors)")
  }

  @Test(arguments: [
    "buddy-execution", "buddy-progress", "buddy-learning", "buddy-investment", "buddy-artifact", "buddy-gateway",
  ])
  func noServiceListensBeyondLoopbackUnasked(_ service: String) async throws {
    let folder = try TemporaryFolder("network")
    let run = try await Command.run(
      service, ["--host", "0.0.0.0", "--port", "0", "--data", folder.file("data")], in: folder)
    #expect(run.code == 64)
    #expect(run.errors.contains("--insecure-allow-network"), "\(run.errors)")
    let unknown = try await Command.run(service, ["--nope"], in: folder)
    #expect(unknown.code == 64)
    #expect(unknown.errors.contains("--nope"))
    let help = try await Command.run(service, ["--help"], in: folder)
    #expect(help.code == 0 && help.output.contains("BUDDY_PORT"))
  }
}

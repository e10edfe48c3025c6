import Foundation
import Messages
import ServiceTestSupport
import TestSupport
import Testing

/// What a user types, from one end to the other.
@Suite struct MissionTests {
  private static let sales = """
    region,product,price
    North,Tea,10
    South,Tea,20
    North,Coffee,30
    South,Coffee,50
    """

  @Test func aMissionRunsFromTheCommandLineToItsArtifactAndFeedback() async throws {
    let installation = try await Installation()
    let file = try installation.file("sales.csv", Self.sales)

    let run = try await installation.buddy("run", "Chart the average price by region", "--input", file)
    #expect(run.code == 0, "\(run.errors)")
    #expect(run.output.contains("North") && run.output.contains("35"))
    #expect(run.output.contains("\(installation.address)/api/v1/artifacts/"))
    // Without a terminal progress is plain lines, in the order of the steps.
    let steps = ["verification", "intent", "budget", "selection", "execution", "finalize"]
    let completed = run.errors.matches(of: #/([a-z]+) +completed/#).map { String($0.1) }
    #expect(completed == steps, "\(run.errors)")

    let json = try await installation.buddy("run", "What is 6 * 7?", "--json")
    let mission = try ProtoJSON.decode(Mission.self, from: json.output)
    #expect(mission.state == .succeeded)
    #expect(mission.result?.text.contains("42") == true)
    #expect(mission.choice?.tool == "calculate")

    let shown = try await installation.buddy("mission", "show", mission.id)
    #expect(shown.code == 0 && shown.output.contains("calculate") && shown.output.contains("SUCCEEDED"))
    let listed = try await installation.buddy("mission", "list")
    #expect(listed.output.contains(mission.id))
    let watched = try await installation.buddy("mission", "watch", mission.id)
    #expect(watched.code == 0)

    let description = installation.folder.file("data/installation.json")
    #expect(FileManager.default.fileExists(atPath: description))
    try await getsAnArtifact(run.output, installation)
    try await givesFeedback(mission.id, installation)
    let stopped = try await installation.stop()
    #expect(stopped == 0)
    let left = try installation.services()
    #expect(left.isEmpty)
    #expect(!FileManager.default.fileExists(atPath: description))
  }

  private func getsAnArtifact(_ output: String, _ installation: Installation) async throws {
    let line = try #require(output.split(separator: "\n").first { $0.contains(".csv") })
    let id = try #require(line.firstMatch(of: #/artifacts\/([^\/]+)\/content/#)?.1)
    let target = installation.folder.file("table.csv")
    let got = try await installation.buddy("artifact", "get", String(id), "-o", target)
    #expect(got.code == 0, "\(got.errors)")
    #expect(try String(contentsOfFile: target, encoding: .utf8).contains("South"))
    let again = try await installation.buddy("artifact", "get", String(id), "-o", target)
    #expect(again.code != 0, "an existing file must not be overwritten unasked")
  }

  private func givesFeedback(_ mission: String, _ installation: Installation) async throws {
    var given = try await installation.buddy("feedback", mission, "--up", "--comment", "just so")
    try await eventually("the outcome has reached the learning service") {
      given = try await installation.buddy("feedback", mission, "--up", "--comment", "just so")
      return given.code == 0
    }
    #expect(given.output.contains("calculate"))
  }

  @Test func approvalAndCancelFromTheCommandLine() async throws {
    let installation = try await Installation()
    let first = try await installation.buddy("run", "What is 1 + 1?", "--require-approval", "--no-wait", "--json")
    let waiting = try ProtoJSON.decode(Mission.self, from: first.output)
    #expect(waiting.state == .pendingApproval)
    let approved = try await installation.buddy("mission", "approve", waiting.id)
    #expect(approved.code == 0)
    let watched = try await installation.buddy("mission", "watch", waiting.id)
    #expect(watched.code == 0)

    let second = try await installation.buddy("run", "What is 1 + 2?", "--require-approval", "--no-wait", "--json")
    let unwanted = try ProtoJSON.decode(Mission.self, from: second.output)
    let cancelled = try await installation.buddy("mission", "cancel", unwanted.id, "--reason", "not now")
    #expect(cancelled.code == 0)
    let tooLate = try await installation.buddy("mission", "approve", unwanted.id)
    #expect(tooLate.code == 1)
    #expect(tooLate.errors.contains("FAILED_PRECONDITION"))
  }

  @Test func aServiceThatIsKilledComesBackAndNothingIsForgotten() async throws {
    let installation = try await Installation()
    let before = try await installation.buddy("run", "What is 2 + 2?", "--json")
    let mission = try ProtoJSON.decode(Mission.self, from: before.output)
    for service in ["buddy-execution", "buddy-progress", "buddy-artifact", "buddy-investment", "buddy-learning"] {
      let old = try #require(try installation.services()[service])
      kill(old, SIGKILL)
      try await eventually("\(service) is started again") {
        let new = try installation.services()[service]
        return new != nil && new != old
      }
    }
    let run = try await installation.buddy("run", "What is 3 + 3?")
    #expect(run.code == 0, "\(run.errors)")
    let shown = try await installation.buddy("mission", "show", mission.id, "--json")
    #expect(try ProtoJSON.decode(Mission.self, from: shown.output) == mission)
    #expect(installation.up.log.contains("buddy-execution was killed by signal 9"), "\(installation.up.log)")
  }
}

import Foundation
import Messages
import RPC
import ServiceTestSupport
import Stubs
import TestSupport
import Testing

/// Programs as tools of the real services.
@Suite(.timeLimit(.minutes(3))) struct CommandToolTests {
  private func submit(_ missions: MissionsClient, _ tool: String) async throws -> Mission {
    try await missions.submit(SubmitMissionRequest(objective: "do what \(tool) does", requestedTool: tool))
  }

  private func ended(_ missions: MissionsClient, _ id: String) async throws -> Mission {
    var mission = Mission()
    try await eventually("the mission ends") {
      mission = try await missions.get(GetMissionRequest(id: id))
      return mission.finishedAt != nil
    }
    return mission
  }

  @Test func aProgramIsChosenPaidForAndItsResultStored() async throws {
    var scripts = try ToolScripts()
    try scripts.add(
      "count_words", #"""
        words=$(wc -w < inputs/0.txt)
        echo "{\"progress\": 0.5, \"message\": \"counted\"}"
        echo "{\"text\": \"$words words\"}"
        """#,
      [
        "hasSideEffects": false, "price": ["perCallMicros": 70, "perMebibyteMicros": 262_144],
        "maximumInputBytes": 1_000_000,
        "examples": ["count_words": ["count the words of this text", "how many words does the file have"]],
      ])
    let installation = try await scripts.installation()
    let file = try installation.file("speech.txt", "four score and seven")
    let run = try await installation.buddy("run", "Count the words of speech.txt", "--input", file, "--json")
    let mission = try ProtoJSON.decode(Mission.self, from: run.output)
    #expect(mission.state == .succeeded && mission.choice?.tool == "count_words")
    #expect(mission.result?.text == "4 words" && mission.result?.partial == false)
    #expect(mission.cost?.micros == 75, "70 for the call, and 1 for every 4 of its 20 bytes")
    #expect(try await installation.stop() == 0)
  }

  /// The example in the repository, as its README says.
  @Test func theExamplesRun() async throws {
    let examples = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
      .appendingPathComponent("../../deploy/examples/tools").standardizedFileURL.path
    let folder = try TemporaryFolder("examples")
    let settings = folder.file("buddy.json")
    try Data(#"{"execution": {"tools": "\#(examples)/tools.json"}}"#.utf8).write(to: URL(fileURLWithPath: settings))
    let installation = try await Installation(
      ["--config", settings], environment: ["BUDDY_NOTES_FILE": folder.file("notes.txt")])
    let run = try await installation.buddy(
      "run", "Count the words of README.md", "--input", examples + "/README.md", "--json")
    let mission = try ProtoJSON.decode(Mission.self, from: run.output)
    #expect(mission.state == .succeeded && mission.choice?.tool == "count_words", "\(run.errors)")
    #expect(mission.result?.artifacts.map(\.name) == ["words.csv"])
    let missions = MissionsClient(try installation.client("execution"))
    let note = try await missions.submit(SubmitMissionRequest(objective: "Take a note: the printer is fixed"))
    var asked = Mission()
    try await eventually("it asks") {
      asked = try await missions.get(GetMissionRequest(id: note.id))
      return asked.state == .awaitingInput
    }
    #expect(asked.question?.prompt.contains("the printer is fixed") == true && asked.question?.kind == .yesNo)
    #expect(!FileManager.default.fileExists(atPath: folder.file("notes.txt")))
    #expect(try await installation.stop() == 0)
  }

  @Test func whatACancelledProgramHadProducedIsKept() async throws {
    var scripts = try ToolScripts()
    try scripts.add(
      "produce", #"""
        echo '{"text": "half of it"}'
        echo '{"artifact": {"name": "half.txt", "mediaType": "text/plain", "base64": "aGFsZg=="}}'
        echo $$ > \#(scripts.file("pid"))
        sleep 600
        """#)
    let installation = try await scripts.installation()
    let missions = MissionsClient(try installation.client("execution"))
    let id = try await submit(missions, "produce").id
    try await eventually("the program runs") { !scripts.numbers("pid").isEmpty }
    _ = try await missions.cancel(CancelMissionRequest(id: id))
    #expect(!scripts.numbers("pid").contains(where: isAlive))
    var mission = Mission()
    try await eventually("its partial result is kept") {
      mission = try await missions.get(GetMissionRequest(id: id))
      return mission.result != nil
    }
    #expect(mission.state == .cancelled && mission.result?.partial == true && mission.result?.text == "half of it")
    let artifact = try #require(mission.result?.artifacts.first)
    let target = installation.folder.file("half.txt")
    let got = try await installation.buddy("artifact", "get", artifact.artifactId, "-o", target)
    #expect(got.code == 0 && (try? String(contentsOfFile: target, encoding: .utf8)) == "half", "\(got.errors)")
    #expect(try await installation.stop() == 0)
  }

  @Test func programsDieWithAServiceThatIsKilledAndThenAPersonIsAsked() async throws {
    var scripts = try ToolScripts()
    try scripts.add(
      "linger", #"""
        trap '' TERM HUP INT
        sh -c 'trap "" TERM HUP INT; echo $$ >> \#(scripts.file("pids")); sleep 600; true' &
        echo $$ >> \#(scripts.file("pids"))
        sleep 600
        """#)
    let installation = try await scripts.installation()
    let missions = MissionsClient(try installation.client("execution"))
    let id = try await submit(missions, "linger").id
    try await eventually("the program and its child run") { scripts.numbers("pids").count == 2 }
    kill(try #require(try installation.services()["buddy-execution"]), SIGKILL)
    try await eventually("both are gone") { !scripts.numbers("pids").contains(where: isAlive) }
    var mission = Mission()
    try await eventually("a person is asked", within: .seconds(60)) {
      guard let found = try? await missions.get(GetMissionRequest(id: id)) else { return false }
      mission = found
      return mission.state == .awaitingInput
    }
    #expect(mission.question?.kind == .choice && mission.question?.step == .execution)
    #expect(scripts.numbers("pids").count == 2, "it was not run again unasked")
    _ = try await missions.cancel(CancelMissionRequest(id: id))
    #expect(try await ended(missions, id).state == .cancelled)
    #expect(try await installation.stop() == 0)
  }

  @Test func aFileOfToolsThatCannotBeTakenStopsTheStart() async throws {
    let folder = try TemporaryFolder("tools")
    let path = folder.file("tools.json")
    try Data(#"{"tools": [{"name": "calculate"}]}"#.utf8).write(to: URL(fileURLWithPath: path))
    let process = try ServiceProcess(
      "buddy-execution", ["--data", folder.path, "--port", "0", "--tools", path], in: folder)
    #expect(try await process.ended() == 64)
    #expect(process.log.contains("--tools: \"\(path)\" is not a file of tools that can be taken: tool 1 (calculate): "))
  }
}

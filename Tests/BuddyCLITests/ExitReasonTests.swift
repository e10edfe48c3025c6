import ArgumentParser
import Messages
import NIOHTTP1
import Testing

@testable import BuddyCLI

@Suite("Exit statuses and errors")
struct ExitReasonTests {
  @Test(
    "codes of services",
    arguments: [
      ("OK", 0), ("INVALID_ARGUMENT", 64), ("OUT_OF_RANGE", 64), ("NOT_FOUND", 66), ("FAILED_PRECONDITION", 1),
      ("ALREADY_EXISTS", 1), ("CANCELLED", 2), ("UNAVAILABLE", 69), ("DEADLINE_EXCEEDED", 75),
      ("RESOURCE_EXHAUSTED", 75), ("ABORTED", 75), ("DATA_LOSS", 65), ("PERMISSION_DENIED", 77),
      ("UNAUTHENTICATED", 77), ("INTERNAL", 70), ("UNKNOWN", 70), ("UNIMPLEMENTED", 70), ("no such code", 70),
    ] as [(String, Int32)])
  func codes(_ code: String, _ status: Int32) { #expect(ExitReason.forCode(code).rawValue == status) }

  @Test("ends of missions")
  func missions() {
    #expect(MissionReport.exit(Mission(state: .succeeded)) == .success)
    #expect(MissionReport.exit(Mission(state: .failed)) == .failed)
    #expect(MissionReport.exit(Mission(state: .failed, error: Failure(code: "DEADLINE_EXCEEDED"))) == .tryAgain)
    #expect(MissionReport.exit(Mission(state: .rejected)) == .refused)
    #expect(MissionReport.exit(Mission(state: .cancelled)) == .refused)
  }

  @Test("the help lists every status")
  func help() {
    let help = RunCommand.helpMessage()
    for reason in ExitReason.allCases { #expect(ExitReason.table.contains("\(reason.rawValue)  \(reason.meaning)")) }
    #expect(help.contains("EXIT STATUS:"))
    #expect(help.contains("130"))
  }

  @Test("usage errors leave with 64, as ours do")
  func usage() throws {
    let error = #expect(throws: (any Error).self) { try Buddy.parseAsRoot(["run"]) }
    #expect(Buddy.exitCode(for: try #require(error)).rawValue == ExitReason.usage.rawValue)
  }

  @Test("an error is one line, whatever a service says")
  func oneLine() {
    let error = CommandError(code: "NOT_FOUND", message: "no mission\n\u{1B}[31mm-123")
    #expect(error.description == #"NOT_FOUND: no mission \x1b[31mm-123"#)
    #expect(CommandError(message: "plain", exit: .failed).description == "plain")
  }

  @Test("error answers of a gateway, and of something that is none")
  func answers() {
    let body = Array(#"{"error":{"code":"NOT_FOUND","message":"no mission m-1"}}"#.utf8)
    let known = GatewayFailure.error(status: .notFound, body: body, address: .standard)
    #expect(known == CommandError(code: "NOT_FOUND", message: "no mission m-1", exit: .notFound))
    let foreign = GatewayFailure.error(status: .badGateway, body: Array("<html>".utf8), address: .standard)
    #expect(foreign.exit == .internalError)
    #expect(foreign.message.contains("HTTP 502 from http://127.0.0.1:8420"))
  }

  @Test("what is said of a mission that did not succeed")
  func failure() {
    #expect(MissionReport.failure(Mission(id: "m-1", state: .succeeded)) == nil)
    let failed = Mission(id: "m-1", state: .failed, error: Failure(code: "UNKNOWN_COLUMN", message: "no column x\u{7}"))
    #expect(MissionReport.failure(failed) == #"mission m-1 failed: UNKNOWN_COLUMN: no column x\x07"#)
    #expect(MissionReport.failure(Mission(id: "m-2", state: .cancelled)) == "mission m-2 cancelled")
  }
}

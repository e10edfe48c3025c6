import Foundation
import ServiceTestSupport
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(1))) struct ServiceProcessTests {
  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder("process")
  }

  private func shell(_ script: String) throws -> ServiceProcess {
    try ServiceProcess("/bin/sh", ["-c", script], in: folder)
  }

  @Test(arguments: [
    "2026-01-01T00:00:00.000Z info progress: listening address=127.0.0.1:4711",
    #"{"message":"listening","metadata":{"address":"[::1]:4711"}}"#,
  ])
  func learnsThePort(_ line: String) async throws {
    let process = try shell("echo starting; echo '\(line)' >&2; exec cat")
    #expect(try await process.port() == 4711)
    #expect(process.log == "starting\n\(line)\n")
    process.send(SIGTERM)
    #expect(try await process.ended() == -SIGTERM)
  }

  @Test func oneThatEndsTooSoonShowsItsLog() async throws {
    let process = try shell("echo no such folder >&2; exit 73")
    let error = await #expect(throws: NeverHappened.self) { _ = try await process.port() }
    #expect(error?.description.contains("no such folder") == true)
    #expect(try await process.ended() == 73)
  }

  @Test func noneOutlivesItsOwner() async throws {
    var process: ServiceProcess? = try shell("trap '' TERM; echo up; exec cat")
    let id = try #require(process?.id)
    try await eventually("it is up") { process?.log == "up\n" }
    process = nil
    try await eventually("it is gone") { kill(id, 0) != 0 }
  }
}

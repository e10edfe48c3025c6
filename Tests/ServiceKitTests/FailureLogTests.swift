import Logging
import RPC
import Storage
import Testing

@testable import ServiceKit

@Suite struct FailureLogTests {
  private let lines = Lines()
  private let log: FailureLog

  init() {
    let lines = lines
    log = FailureLog(
      logger: Logger(label: "test") { LineLogHandler(label: $0, format: .text, level: .info) { lines.add($0) } })
  }

  private var count: Int { lines.text.split(separator: "\n").count }

  @Test(arguments: [
    StorageError.busy("a"), .unavailable("a"), .outcomeUnknown("a"), .diskFull("a"), .io("a"), .sql("a"),
    .constraint(.foreignKey, "a"),
  ])
  func whatTheDatabaseDoesIsLogged(_ error: StorageError) {
    #expect(FailureLog.isOurs(error))
  }

  @Test(arguments: [
    StorageError.closed, .value("a"), .constraint(.unique, "a"), .constraint(.primaryKey, "a"),
  ])
  func whatIsAskedWronglyAndAStopAreNot(_ error: StorageError) {
    #expect(!FailureLog.isOurs(error))
  }

  @Test func aPeersStatusIsItsOwn() {
    #expect(!FailureLog.isOurs(Status(.unavailable, "another service is away")))
    #expect(!FailureLog.isOurs(CancellationError()))
    #expect(FailureLog.isOurs(Status(.internalError, "a")))
  }

  @Test func anOutageGetsALineOfEachMethodInAnInterval() {
    let start = ContinuousClock.now
    for _ in 0..<100 { log.log(StorageError.unavailable("gone"), path: "/a/A", at: start) }
    #expect(count == 1 && lines.text.contains("gone") && !lines.text.contains("unlogged"))
    log.log(StorageError.unavailable("gone"), path: "/a/B", at: start)
    #expect(count == 2)
    log.log(StorageError.unavailable("gone"), path: "/a/A", at: start + FailureLog.interval)
    #expect(count == 3 && lines.text.contains("unlogged=99"))
    log.log(StorageError.unavailable("gone"), path: "/a/A", at: start + FailureLog.interval * 2)
    #expect(count == 4)
  }

  @Test func otherFailuresGetALineEach() {
    for _ in 0..<3 { log.log(Status(.internalError, "a"), path: "/a/A") }
    #expect(count == 3)
  }
}

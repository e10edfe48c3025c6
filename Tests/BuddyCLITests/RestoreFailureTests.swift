import Testing

@testable import BuddyCLI

/// What `buddy restore` says when a service does not take its state.
@Suite("why a restore failed")
struct RestoreFailureTests {
  private static let start = #"{"time":"2026-01-01T00:00:00.000Z","level":"info","logger":"learning","message":"x"}"#

  /// The last line of a service's log.
  private func line(_ error: String) -> String {
    Self.start + "\n"
      + #"{"time":"2026-01-01T00:00:00.000Z","level":"critical","logger":"learning","message":"cannot start","#
      + #""metadata":{"error":"\#(error)","trace_id":"1"}}"# + "\n"
  }

  private func failure(_ code: Int32, _ log: String) -> CommandError {
    InstallationRestore.failure("buddy-learning", code, log: log)
  }

  @Test("the reason is the service's own, without its log around it")
  func reasons() {
    let newer = failure(1, line("the database has schema version 99"))
    #expect(newer.description
      == "RESTORE_FAILED: buddy-learning did not take its state: the database has schema version 99")
    #expect(newer.exit == .failed)
    let there = failure(73, line("there is a database already: /data/learning.sqlite3"))
    #expect(there.description == "RESTORE_FAILED: buddy-learning did not take its state: there is a database already: "
      + "/data/learning.sqlite3; --replace moves it aside")
    #expect(there.exit == .cannotWrite)
    let used = failure(69, line("the database postgres://db/x (schema y) is in use by buddy-learning"))
    #expect(used.description == "RESTORE_FAILED: buddy-learning did not take its state: the database postgres://db/x "
      + "(schema y) is in use by buddy-learning; stop it first")
    #expect(used.exit == .unavailable)
  }

  @Test("also where there is no log, or no error in it")
  func others() {
    let early = "buddy-learning: BUDDY_PORT: \"x\" is not a number\nTry 'buddy-learning --help'.\n"
    #expect(failure(64, early).message.hasSuffix("state: buddy-learning: BUDDY_PORT: \"x\" is not a number"))
    #expect(failure(1, "").message.hasSuffix("it says nothing"))
    #expect(failure(1, Self.start).message.hasSuffix("it says nothing"))
    let plain = Self.start.replacing("info", with: "critical")
    #expect(failure(1, plain).message.hasSuffix("state: x"))
  }

  @Test("what may have been done is not called a refusal")
  func uncertain() {
    let killed = InstallationRestore.failure("buddy-learning", nil, log: "")
    let lost = failure(1, line("it is not known whether the transaction was committed: lost"))
    for error in [killed, lost] { #expect(error.code != InstallationRestore.refusal) }
  }
}

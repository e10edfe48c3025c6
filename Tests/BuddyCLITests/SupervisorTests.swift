import Foundation
import ServiceKit
import Synchronization
import TestSupport
import Testing

@testable import BuddyCLI

/// Services played by shell scripts: real processes, real signals.
struct Scripts {
  /// Runs until a signal ends it, or until the process that started it is gone: a failing test leaves nothing behind.
  static let untilOrphaned = "while kill -0 $PPID; do sleep 0.02; done"

  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder("supervisor") }

  /// `body` sees its own folder as `$here`, and `ready NAME` tells the test that it runs.
  func command(_ name: ServiceName, _ body: String) throws -> ServiceCommand {
    let path = folder.file(ServiceFleet.program(name))
    try Scripts.write("here='\(folder.path)'\nready() { echo $$ >> \"$here/$1.ready\"; }\n\(body)\n", to: path)
    return ServiceCommand(name: name, executable: path, arguments: [], log: folder.file("\(name.rawValue).log"))
  }

  static func write(_ body: String, to path: String) throws {
    try "#!/bin/sh\n\(body)".write(toFile: path, atomically: true, encoding: .utf8)
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
  }

  /// The lines a script has written so far.
  func lines(_ file: String) -> [String] {
    let text = (try? String(contentsOfFile: folder.file(file), encoding: .utf8)) ?? ""
    return text.split(separator: "\n").map(String.init)
  }

  func waitFor(_ file: String, lines count: Int = 1) async throws {
    try await eventually("\(count) lines in \(file)") { lines(file).count >= count }
  }
}

/// What a supervisor said.
final class Notices: Sendable {
  private let state = Mutex<[String]>([])
  var all: [String] { state.withLock { $0 } }
  func add(_ text: String) { state.withLock { $0.append(text) } }
}

@Suite("Supervising real processes", .serialized)
struct SupervisorTests {
  private func quick() -> RestartPolicy {
    var policy = RestartPolicy()
    policy.firstPause = .milliseconds(1)
    policy.longestPause = .milliseconds(4)
    return policy
  }

  private let patient = "trap 'exit 0' TERM; ready up; \(Scripts.untilOrphaned)"

  @Test("a service that dies is started again, and it is said how it died and how often")
  func restart() async throws {
    let (scripts, notices) = (try Scripts(), Notices())
    let command = try scripts.command(
      .learning, "ready up; if [ $(wc -l < \"$here/up.ready\") -lt 3 ]; then exit 7; fi\n\(patient)")
    let supervisor = Supervisor([command], policy: quick()) { notices.add($0) }
    await supervisor.start()
    try await scripts.waitFor("up.ready", lines: 4)
    #expect(notices.all.count == 2)
    #expect(notices.all.last?.contains("buddy-learning exited with status 7") == true)
    #expect(notices.all.last?.contains("restart 2") == true)
    await supervisor.stop(grace: .seconds(20))
    #expect(await supervisor.processID(of: .learning) == nil)
  }

  @Test("a service killed from outside comes back as a new process")
  func killed() async throws {
    let (scripts, notices) = (try Scripts(), Notices())
    let supervisor = Supervisor([try scripts.command(.progress, patient)], policy: quick()) { notices.add($0) }
    await supervisor.start()
    try await scripts.waitFor("up.ready")
    let first = try #require(Int32(scripts.lines("up.ready")[0]))
    kill(first, SIGKILL)
    try await scripts.waitFor("up.ready", lines: 2)
    #expect(scripts.lines("up.ready")[1] != "\(first)")
    #expect(notices.all.first?.contains("signal 9 (SIGKILL)") == true)
    await supervisor.stop(grace: .seconds(20))
  }

  @Test("a service that never stays up is given up on")
  func givenUp() async throws {
    let (scripts, notices) = (try Scripts(), Notices())
    let supervisor = Supervisor([try scripts.command(.artifact, "ready up; exit 1")], policy: quick()) {
      notices.add($0)
    }
    await supervisor.start()
    var failures = supervisor.failures.makeAsyncIterator()
    let failure = await failures.next()
    #expect(failure?.service == .artifact)
    #expect(failure?.reason.contains("5 times") == true)
    #expect(scripts.lines("up.ready").count == 5)
    await supervisor.stop(grace: .seconds(20))
  }

  @Test("a program that is not there is given up on at once, with the reason")
  func missing() async throws {
    let scripts = try Scripts()
    let command = ServiceCommand(
      name: .gateway, executable: scripts.folder.file("nothing"), arguments: [], log: scripts.folder.file("log"))
    let supervisor = Supervisor([command]) { _ in }
    await supervisor.start()
    var failures = supervisor.failures.makeAsyncIterator()
    #expect(await failures.next()?.reason.contains("cannot be started") == true)
    await supervisor.stop(grace: .seconds(20))
  }

  @Test("a service that ignores SIGTERM is killed when the grace is over, and it is said")
  func stubborn() async throws {
    let (scripts, notices) = (try Scripts(), Notices())
    let command = try scripts.command(.execution, "trap '' TERM; ready up; \(Scripts.untilOrphaned)")
    let supervisor = Supervisor([command]) { notices.add($0) }
    await supervisor.start()
    try await scripts.waitFor("up.ready")
    // The script may run before the supervisor has heard so.
    try await eventually("the process is known") { await supervisor.processID(of: .execution) != nil }
    let process = try #require(await supervisor.processID(of: .execution))
    await supervisor.stop(grace: .milliseconds(200))
    #expect(kill(process, 0) == -1)
    #expect(notices.all.contains { $0.contains("buddy-execution did not stop within 200 ms and is killed") })
  }

  @Test("the gateway stops first, then execution, then the rest")
  func order() async throws {
    let scripts = try Scripts()
    let commands = try ServiceFleet.services.map { name in
      try scripts.command(
        name, "trap 'echo \(name.rawValue) >> \"$here/stopped\"; exit 0' TERM; ready up; \(Scripts.untilOrphaned)")
    }
    let supervisor = Supervisor(commands) { _ in }
    await supervisor.start()
    try await scripts.waitFor("up.ready", lines: commands.count)
    await supervisor.stop(grace: .seconds(30))
    #expect(scripts.lines("stopped").prefix(2) == ["gateway", "execution"])
    #expect(Set(scripts.lines("stopped")) == Set(ServiceFleet.services.map { $0.rawValue }))
  }

  @Test("stopping cuts a pause before a restart short")
  func stopDuringPause() async throws {
    let (scripts, notices) = (try Scripts(), Notices())
    var policy = RestartPolicy()
    policy.firstPause = .seconds(3600)
    let supervisor = Supervisor([try scripts.command(.learning, "exit 1")], policy: policy) { notices.add($0) }
    await supervisor.start()
    try await eventually("the death was noticed") { !notices.all.isEmpty }
    await supervisor.stop(grace: .seconds(20))
  }

  @Test("a grandchild that keeps the output open does not hide a death")
  func grandchild() async throws {
    let scripts = try Scripts()
    let command = try scripts.command(.learning, "sleep 3600 & echo $! >> \"$here/orphans\"; ready up; exit 1")
    let supervisor = Supervisor([command], policy: quick()) { _ in }
    await supervisor.start()
    try await scripts.waitFor("up.ready", lines: 2)
    await supervisor.stop(grace: .seconds(20))
    for orphan in scripts.lines("orphans").compactMap({ Int32($0) }) { kill(orphan, SIGKILL) }
  }

  @Test("what a service writes is in its log, whichever stream it uses")
  func log() async throws {
    let scripts = try Scripts()
    let command = try scripts.command(.learning, "echo one >&2; echo two; \(patient)")
    let supervisor = Supervisor([command]) { _ in }
    await supervisor.start()
    try await scripts.waitFor("learning.log", lines: 2)
    await supervisor.stop(grace: .seconds(20))
    #expect(await LogFiles.tail(command.log, lines: 10).sorted() == ["one", "two"])
    #expect(await LogFiles.tail(command.log, lines: 1).count == 1)
    #expect(await LogFiles.tail(scripts.folder.file("none"), lines: 10).isEmpty)
  }
}

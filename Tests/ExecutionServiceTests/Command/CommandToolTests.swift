import Foundation
import Messages
import Synchronization
import TestSupport
import Testing

@testable import ExecutionService

/// Real programs as tools. Each is a shell script of the test.
@Suite(.timeLimit(.minutes(2))) struct CommandToolTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder("command") }

  private func tool(_ script: String, _ fields: String = "") throws -> CommandTool {
    let path = folder.file("tool.sh")
    try Data("#!/bin/sh\n\(script)\n".utf8).write(to: URL(fileURLWithPath: path))
    try FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: path)
    let json = #"""
      {"tools": [{"name": "script", "description": "A script.", "command": ["./tool.sh"], "intents": {"scripting": 0.9},
      "hasSideEffects": true\#(fields)}]}
      """#
    let declared = try CommandToolFile.read(Array(json.utf8), folder: folder.path, taken: [])
    return CommandTool(try #require(declared.first))
  }

  private func call(_ parameters: [String: String] = [:], inputs: [ToolInput] = []) -> ToolCall {
    ToolCall(
      missionID: "m", objective: "do it", parameters: parameters, inputs: inputs, idempotencyKey: "key",
      answers: [AnsweredQuestion(question: Question(id: "q"), answer: Answer(value: .choice("yes")))])
  }

  private func isAlive(_ pid: Int32) -> Bool {
    guard let status = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8) else { return false }
    return !status.contains(") Z ")
  }

  private func pids(_ name: String, _ count: Int) async throws -> [Int32] {
    var found: [Int32] = []
    try await eventually("\(count) processes have begun") {
      let text = (try? String(contentsOfFile: folder.file(name), encoding: .utf8)) ?? ""
      found = text.split(separator: "\n").compactMap { Int32($0) }
      return found.count == count
    }
    return found
  }

  @Test func aProgramIsGivenTheCallAndItsOutputIsTaken() async throws {
    let tool = try tool(
      #"""
      cat > call.txt
      echo '{"progress": 0.5, "message": "half"}'
      echo '{"text": "hello"}'
      echo '{"artifact": {"name": "call.json", "mediaType": "application/json", "path": "call.txt"}}'
      cat inputs/0.csv > in.csv
      printf '%s' '{"artifact": {"name": "in.csv", "mediaType": "text/csv", "path": "in.csv"}}'
      """#)
    let reports = Mutex<[String]>([])
    let input = ToolInput(name: "my sales.csv", mediaType: "text/csv", bytes: Array("a,b\n".utf8))
    let output = try await tool.run(call(["to": "Eva"], inputs: [input])) { share, message in
      reports.withLock { $0.append("\(share) \(message)") }
    }
    #expect(output.text == "hello" && output.bytesRead == 4)
    #expect(reports.withLock { $0 } == ["0.5 half"])
    #expect(output.artifacts.map(\.name) == ["call.json", "in.csv"])
    #expect(output.artifacts[1].bytes == Array("a,b\n".utf8), "a last line needs no end")
    let json = try #require(
      JSONSerialization.jsonObject(with: Data(output.artifacts[0].bytes)) as? [String: Any])
    #expect(json["missionId"] as? String == "m" && json["objective"] as? String == "do it")
    #expect(json["parameters"] as? [String: String] == ["to": "Eva"])
    #expect(json["answers"] as? [String: String] == ["q": "yes"])
    #expect(json["idempotencyKey"] as? String == "key")
    let path = ((json["inputs"] as? [[String: String]])?.first ?? [:])["path"] ?? ""
    #expect(path.hasSuffix("/inputs/0.csv") && !FileManager.default.fileExists(atPath: path), "the folder is gone")
  }

  @Test func onlyNamedVariablesArePassedOn() async throws {
    let tool = try tool(
      #"[ -n "$PATH" ] && [ -z "$BUDDY_SECRET_OF_TEST" ] && echo '{"text": "clean"}'"#)
    setenv("BUDDY_SECRET_OF_TEST", "1", 1)
    #expect(try await tool.run(call()) { _, _ in }.text == "clean")
    let named = try self.tool(
      #"[ "$BUDDY_SECRET_OF_TEST" = 1 ] && echo '{"text": "named"}'"#, #", "environment": ["BUDDY_SECRET_OF_TEST"]"#)
    #expect(try await named.run(call()) { _, _ in }.text == "named")
  }

  static let failures: [(script: String, code: String, message: String)] = [
    ("echo oops >&2; exit 3", "TOOL_FAILED", "script ended with status 3: oops"),
    ("kill -SEGV $$", "TOOL_FAILED", "was killed by signal 11"),
    (#"echo '{"error": {"code": "NO_ACCESS", "message": "denied"}}'; exit 1"#, "NO_ACCESS", "denied"),
    ("echo hello", "BAD_OUTPUT", "Line 1"), ("head -c 300000 /dev/zero", "OUTPUT_TOO_LARGE", "A line"),
    (#"echo '{"artifact": {"name": "p", "mediaType": "a/b", "path": "/etc/passwd"}}'"#, "BAD_OUTPUT", "not in the"),
    (#"ln -s /etc/passwd p; echo '{"artifact": {"name": "p", "mediaType": "a/b", "path": "p"}}'"#,
      "BAD_OUTPUT", "not in"),
    (#"mkfifo p; echo '{"artifact": {"name": "p", "mediaType": "a/b", "path": "p"}}'"#, "BAD_OUTPUT", "not a file"),
    (#"head -c 2000 /dev/zero >p; echo '{"artifact": {"name": "p", "mediaType": "a/b", "path": "p"}}'"#,
      "OUTPUT_TOO_LARGE", "too large"),
  ]

  @Test(arguments: failures)
  func aFailureSaysWhy(_ failure: (script: String, code: String, message: String)) async throws {
    let tool = try tool(failure.script, #", "maximumOutputBytes": 1000"#)
    let error = await #expect(throws: ToolError.self) { try await tool.run(call()) { _, _ in } }
    #expect(error?.code == failure.code)
    #expect(error?.message.contains(failure.message) == true, "\(error?.message ?? "")")
  }

  @Test func aProgramMayAsk() async throws {
    let tool = try tool(#"echo '{"ask": {"id": "sure", "prompt": "Sure?", "kind": "YES_NO"}}'"#)
    await #expect(throws: ToolQuestion(id: "sure", prompt: "Sure?", kind: .yesNo)) {
      try await tool.run(call()) { _, _ in }
    }
  }

  /// A child, a child's child, and two that have left the process group, one of them without its environment; all of
  /// them ignore what can be ignored.
  @Test func cancellingKillsTheProgramAndAllItHasStarted() async throws {
    let pids = folder.file("pids")
    let tool = try tool(
      #"""
      trap '' TERM INT HUP
      echo $$ >> \#(pids)
      (echo '{"text": "so far"}'; sh -c 'trap "" TERM; echo $$ >> \#(pids); sleep 600; true') &
      setsid sh -c 'echo $$ >> \#(pids); sleep 600; true' &
      (setsid env -i /bin/sh -c 'echo $$ >> \#(pids); sleep 600; true'; true) &
      sleep 600
      """#)
    let call = call()
    let run = Task { try await tool.run(call) { _, _ in } }
    let processes = try await self.pids("pids", 4)
    try await eventually("its text has arrived") { call.soFar.value?.text == "so far" }
    #expect(processes.allSatisfy(isAlive))
    run.cancel()
    await #expect(throws: CancellationError.self) { try await run.value }
    try await eventually("none is left") { !processes.contains(where: isAlive) }
    #expect(call.soFar.value?.text == "so far")
  }

  @Test func whatAProgramLeavesBehindEndsWithIt() async throws {
    let pids = folder.file("pids")
    let tool = try tool(
      #"""
      (echo started >&2; exec sh -c 'echo $$ > \#(pids); sleep 600; true') &
      while [ ! -s \#(pids) ]; do :; done
      echo '{"text": "done"}'
      """#)
    #expect(try await tool.run(call()) { _, _ in }.text == "done")
    let left = try await self.pids("pids", 1)
    #expect(!left.contains(where: isAlive))
  }

  /// Starts a process with a mark in its environment.
  private func marked(_ mark: String) throws -> Process {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", "exec sleep 600"]
    process.environment = ["PATH": "/usr/bin:/bin", ProcessSweep.variable: mark]
    try process.run()
    return process
  }

  @Test func whatADeadServiceHasLeftIsKilled() async throws {
    let service = try marked("none")
    // Not SIGTERM, which the thread that starts a process may have blocked.
    kill(service.processIdentifier, SIGKILL)
    service.waitUntilExit()
    let (here, dead) = (ProcessMark.namespace, service.processIdentifier)
    let left = try marked("\(here).\(dead).1.x")
    // A number that was given again: the process of that number has begun at another time.
    let older = try marked("\(here).\(getpid()).1.x")
    let others = try [ProcessMark.make(), "1\(here).\(dead).1.x", "something else", "\(here).\(dead)"].map(marked)
    ProcessSweep.killLeft()
    left.waitUntilExit()
    older.waitUntilExit()
    #expect(left.terminationReason == .uncaughtSignal && left.terminationStatus == SIGKILL)
    #expect(older.terminationReason == .uncaughtSignal && older.terminationStatus == SIGKILL)
    #expect(others.allSatisfy { isAlive($0.processIdentifier) }, "a living service's, another container's, nobody's")
    for process in others { kill(process.processIdentifier, SIGKILL) }
    for process in others { process.waitUntilExit() }
  }

  @Test func aProgramThatClosesItsOutputIsWaitedFor() async throws {
    let tool = try tool(
      #"echo '{"text": "done"}'; exec >/dev/null 2>&1; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; exit 4"#)
    let error = await #expect(throws: ToolError.self) { try await tool.run(call()) { _, _ in } }
    #expect(error?.message == "script ended with status 4.")
  }

  @Test func aCancelledCallStartsNothing() async throws {
    let tool = try tool("echo $$ > \(folder.file("pids"))")
    let call = call()
    let run = Task {
      while !Task.isCancelled { await Task.yield() }
      return try await tool.run(call) { _, _ in }
    }
    run.cancel()
    await #expect(throws: CancellationError.self) { try await run.value }
    #expect(!FileManager.default.fileExists(atPath: folder.file("pids")))
  }
}

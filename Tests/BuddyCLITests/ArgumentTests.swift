import ArgumentParser
import Foundation
import Messages
import ServiceKit
import TestSupport
import Testing

@testable import BuddyCLI

@Suite("Arguments")
struct ArgumentTests {
  private func run(_ arguments: String...) throws -> RunCommand {
    try #require(try Buddy.parseAsRoot(["run"] + arguments) as? RunCommand)
  }

  @Test("everything a mission can be given")
  func full() throws {
    let folder = try TemporaryFolder("arguments")
    try "a,b\n1,2\n".write(toFile: folder.file("sales.csv"), atomically: true, encoding: .utf8)
    let command = try run(
      "Chart it", "--input", folder.file("sales.csv"), "--param", "a=1", "--param", "b=x=y", "--label", "team=red",
      "--tool", "data_analyze", "--budget", "0.50", "--deadline", "30s", "--priority", "-5", "--require-approval",
      "--recipe", "monthly", "--recipe-version", "3", "--idempotency-key", "k", "--no-wait", "--json")
    let order = try command.order(now: Date(timeIntervalSince1970: 1000))
    #expect(order.inputs.map { $0.name } == ["sales.csv"])
    #expect(order.inputs.map { $0.size } == [8])
    #expect(order.idempotencyKey == "k")
    #expect(!order.waits && order.json)
    #expect(
      order.request
        == SubmitMissionRequest(
          objective: "Chart it", parameters: ["a": "1", "b": "x=y"], labels: ["team": "red"], priority: -5,
          budget: Money(micros: 500_000, currency: "USD"),
          deadline: GoogleProtobufTimestamp(Date(timeIntervalSince1970: 1030)), requestedTool: "data_analyze",
          requireApproval: true, recipe: "monthly", recipeVersion: "3"))
  }

  @Test("each run has a key of its own")
  func keys() throws {
    #expect(try run("x").order().idempotencyKey != run("x").order().idempotencyKey)
  }

  @Test(
    "what is refused before anything is sent",
    arguments: [
      ["run", " "], ["run"], ["run", "x", "--priority", "101"], ["run", "x", "--deadline", "0s"],
      ["run", "x", "--deadline", "soon"], ["run", "x", "--budget", "much"], ["run", "x", "--param", "a"],
      ["run", "x", "--param", "a=1", "--param", "a=2"], ["run", "x", "--address", "ftp://x"],
      ["run", "x", "--idempotency-key", ""], ["run", "x", "--idempotency-key", "a\nb"],
      ["run", "x", "--idempotency-key", "ä"], ["run", "x", "--idempotency-key", "a "],
      ["run", "x", "--idempotency-key", String(repeating: "k", count: 201)],
      ["run", "x", "--nonsense"], ["run", "x", "--recipe-version", "1"], ["run", "x", "--user", "ä"],
      ["run", "x", "--recipe", String(repeating: "r", count: 101)], ["mission", "list", "--state", "odd"],
      ["mission", "list", "--limit", "0"], ["mission", "show"], ["mission", "show", ""], ["mission", "reject", "m"],
      ["feedback", "m"], ["feedback", "m", "--up", "--down"], ["feedback", "m", "--score", "1.1"],
      ["feedback", "m", "--score", "nan"], ["feedback", "m", "--stars", "0"], ["budget", "set", "-1"],
      ["up", "--port", "65536"], ["up", "--port", "-1"], ["up", "--input", "x"], ["up", "--then-run", ""],
      ["up", "--data", ""], ["up", "--binaries", ""], ["up", "--log-level", "loud"], ["up", "--log-format", "x"],
      ["up", "--start-limit", "0s"], ["artifact", "get", "a", "-o", ""], ["artifact", "list", "--limit", "10001"],
      ["nonsense"],
    ])
  func refused(_ arguments: [String]) throws {
    let error = #expect(throws: (any Error).self) { try Buddy.parseAsRoot(arguments) }
    #expect(Buddy.exitCode(for: try #require(error)).rawValue == 64)
  }

  @Test("an objective of 10,000 characters is taken, one more is not")
  func objectiveLength() throws {
    _ = try run(String(repeating: "ä", count: 10_000))
    #expect(throws: (any Error).self) { try run(String(repeating: "ä", count: 10_001)) }
  }

  @Test("input files that cannot be had leave with 66 and say which and why")
  func inputs() throws {
    let folder = try TemporaryFolder("inputs")
    let cases = [(folder.path, "folder"), (folder.file("none.csv"), "no such file"), ("/dev/null", "regular")]
    for (path, words) in cases {
      let error = #expect(throws: CommandError.self) { try InputFile(path: path) }
      #expect(error?.exit == .notFound)
      #expect(error?.message.contains(path) == true && error?.message.contains(words) == true)
    }
    for name in ["a/x.csv", "b/x.csv"] {
      try FileManager.default.createDirectory(
        atPath: folder.file(String(name.prefix(1))), withIntermediateDirectories: true)
      try "x".write(toFile: folder.file(name), atomically: true, encoding: .utf8)
    }
    let error = #expect(throws: CommandError.self) {
      try InputFile.all([folder.file("a/x.csv"), folder.file("b/x.csv")])
    }
    #expect(error?.exit == .usage)
  }

  @Test(
    "scores",
    arguments: [
      (["--up"], 1), (["--down"], 0), (["--score", "0.25"], 0.25), (["--stars", "4"], 0.75),
    ] as [([String], Double)])
  func scores(_ arguments: [String], _ score: Double) throws {
    let command = try #require(try Buddy.parseAsRoot(["feedback", "m"] + arguments) as? FeedbackCommand)
    #expect(try command.resolvedScore() == score)
  }

  @Test("a score of 0 is sent, not left out")
  func zeroScore() throws {
    let opinion = GatewayClient.Opinion(score: 0, comment: nil, correction: "calculate")
    let text = String(decoding: try JSONEncoder().encode(opinion), as: UTF8.self)
    #expect(text.contains(#""score":0"#) && !text.contains("comment"))
  }

  @Test(
    "addresses",
    arguments: [
      ("http://127.0.0.1:8420/", "http://127.0.0.1:8420"), ("localhost:9", "http://localhost:9"),
      ("https://x.example/buddy/", "https://x.example/buddy"), ("http://[::1]:80", "http://[::1]:80"),
    ])
  func address(_ text: String, _ expected: String) { #expect(GatewayAddress(text)?.description == expected) }

  @Test(
    "what is no address",
    arguments: ["", "ftp://x", "http://", "http://x:0", "http://x:99999", "http://x?q", "http://u@x", "http://x#f"])
  func noAddress(_ text: String) { #expect(GatewayAddress(text) == nil) }

  @Test("the option goes before the variable, the variable before the default")
  func precedence() throws {
    var options = try GatewayOptions.parse([])
    #expect(try options.resolved(environment: [:]) == .standard)
    #expect(try options.resolved(environment: ["BUDDY_ADDRESS": "h:1"]).description == "http://h:1")
    options.address = "other:2"
    #expect(try options.resolved(environment: ["BUDDY_ADDRESS": "h:1"]).description == "http://other:2")
    #expect(throws: (any Error).self) {
      try GatewayOptions.parse([]).resolved(environment: ["BUDDY_ADDRESS": "ftp://x"])
    }
  }

  @Test("what `up` is given for the services goes on to all of them")
  func passedOn() throws {
    let folder = try TemporaryFolder("arguments")
    let file = folder.file("buddy.json")
    try #"{"log-level": "debug", "execution": {"maximum-running": 8}}"#.write(
      toFile: file, atomically: true, encoding: .utf8)
    let arguments = ["--config", file, "--otlp-endpoint", "127.0.0.1:4317", "--log-format", "json"]
    #expect(try #require(try Buddy.parseAsRoot(["up"] + arguments) as? UpCommand).commonFlags == arguments)
    #expect(try #require(try Buddy.parseAsRoot(["up"]) as? UpCommand).commonFlags == [])
    try #"{"maximum-runing": 8}"#.write(toFile: file, atomically: true, encoding: .utf8)
    let error = #expect(throws: (any Error).self) { try Buddy.parseAsRoot(["up", "--config", file]) }
    #expect(Buddy.message(for: try #require(error)).contains("did you mean maximum-running?"))
  }

  @Test("an id cannot climb out of its place in an address")
  func encoding() {
    let address = GatewayAddress.standard
    #expect(address.url(["missions", "../x?y#z"]) == "http://127.0.0.1:8420/api/v1/missions/..%2Fx%3Fy%23z")
    #expect(!address.url(["missions", ".."]).hasSuffix(".."))
    #expect(address.url(["a"], query: [("state", "R&D"), ("x", "1")]).hasSuffix("/a?state=R%26D&x=1"))
    #expect(address.artifactContent("a-1") == "http://127.0.0.1:8420/api/v1/artifacts/a-1/content")
  }

  @Test("names of artifacts that are no names for a file here")
  func artifactNames() throws {
    #expect(try ArtifactDownload.fileName(Artifact(name: "table.csv")) == "table.csv")
    for name in ["", ".", "..", "../x", "/etc/passwd", "a\u{1B}b"] {
      #expect(throws: CommandError.self) { try ArtifactDownload.fileName(Artifact(name: name)) }
    }
  }
}

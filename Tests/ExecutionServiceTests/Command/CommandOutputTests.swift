import Messages
import Testing

@testable import ExecutionService

@Suite struct CommandOutputTests {
  private func output(_ lines: String..., maximumBytes: Int = 100) throws -> CommandOutput {
    var output = CommandOutput(maximumBytes: maximumBytes) { path, limit in Array(repeating: 1, count: min(limit, 5)) }
    for line in lines { _ = try output.take(Array(line.utf8)) }
    return output
  }

  @Test func takesWhatAProgramSays() throws {
    let taken = try output(
      #"{"text": "one"}"#, "", #"{"progress": 0.5, "message": "half"}"#, #"{"text": "two"}"#,
      #"{"artifact": {"name": "a.txt", "mediaType": "text/plain", "base64": "aGk="}}"#,
      #"{"artifact": {"name": "b.bin", "mediaType": "a/b", "path": "out"}}"#)
    let result = taken.output(bytesRead: 3)
    #expect(result.text == "one\ntwo" && result.bytesRead == 3)
    #expect(result.artifacts.map(\.name) == ["a.txt", "b.bin"])
    #expect(result.artifacts.map(\.bytes) == [Array("hi".utf8), [1, 1, 1, 1, 1]])
    #expect(taken.failure == nil && taken.question == nil)
  }

  @Test func aLineMayHaveSeveralKeys() throws {
    var taken = try output()
    let line = try taken.take(
      Array(
        #"""
        {"ask": {"id": "q", "prompt": "?", "kind": "TEXT"}, "error": {"code": "NO", "message": "no"}, "text": "one",
        "artifact": {"name": "a", "mediaType": "b", "path": "c"}, "message": "half", "progress": 0.5}
        """#.replacing("\n", with: "").utf8))
    #expect(line.progress?.share == 0.5 && line.progress?.message == "half" && line.isOutput)
    #expect(taken.texts == ["one"] && taken.artifacts.map(\.name) == ["a"])
    #expect(taken.failure == ToolError("NO", "no") && taken.question?.id == "q")
  }

  @Test(arguments: ["0", "1", "0.25"]) func progressIsAFraction(_ share: String) throws {
    var taken = try output()
    let line = try taken.take(Array(#"{"progress": \#(share)}"#.utf8))
    #expect(line.progress?.share == Double(share) && !line.isOutput)
  }

  @Test func namesOfArtifactsAreBounded() throws {
    func line(_ length: Int) -> String {
      #"{"artifact": {"name": "\#(String(repeating: "ä", count: length))", "mediaType": "b", "path": "c"}}"#
    }
    #expect(try output(line(CommandOutput.longestName)).artifacts.count == 1)
    let error = #expect(throws: ToolError.self) { try output(line(CommandOutput.longestName + 1)) }
    #expect(error?.code == "BAD_OUTPUT")
  }

  @Test func takesAnErrorAndAQuestion() throws {
    #expect(try output(#"{"error": {"code": "NO_ACCESS", "message": "no"}}"#).failure == ToolError("NO_ACCESS", "no"))
    let asked = try output(#"{"ask": {"id": "q", "prompt": "Which?", "kind": "CHOICE", "options": ["a", "b"]}}"#)
    #expect(asked.question == ToolQuestion(id: "q", prompt: "Which?", kind: .choice, options: ["a", "b"]))
  }

  @Test(arguments: [
    "hello", "[1]", "{}", #"{"text": 1}"#, #"{"progress": "half"}"#, #"{"progress": 1.01}"#, #"{"progress": -0.1}"#,
    #"{"progress": 7, "message": "done"}"#, #"{"text": "a", "colour": "red"}"#, #"{"text": "a", "message": "b"}"#,
    #"{"message": "b"}"#, #"{"error": {"code": "no", "message": "x"}}"#,
    #"{"artifact": {"name": "a", "mediaType": "b"}}"#, #"{"artifact": {"name": "a/b", "mediaType": "b", "path": "c"}}"#,
    #"{"artifact": {"name": "a", "mediaType": "b", "base64": "*"}}"#,
    #"{"ask": {"id": "q", "prompt": "Which?", "kind": "CHOICE"}}"#,
    #"{"ask": {"id": "q", "prompt": "?", "kind": "NO"}}"#,
    #"{"ask": {"id": "q", "prompt": "Which?", "kind": "TEXT", "default": "x"}}"#,
  ])
  func refusesWhatItDoesNotKnow(_ line: String) throws {
    let error = #expect(throws: ToolError.self) { try output(#"{"text": "one"}"#, line) }
    #expect(error?.code == "BAD_OUTPUT" && error?.message.contains("Line 2") == true)
  }

  @Test func isBounded() throws {
    #expect(throws: ToolError.self) { try output(#"{"text": "0123456789"}"#, maximumBytes: 9) }
    #expect(throws: ToolError.self) {
      try output(
        #"{"text": "01"}"#, #"{"artifact": {"name": "a", "mediaType": "b", "base64": "AAAAAAAAAAAA"}}"#,
        maximumBytes: 9)
    }
    let long = String(repeating: "x", count: 40_000)
    let error = #expect(throws: ToolError.self) {
      try output(#"{"text": "\#(long)"}"#, #"{"text": "\#(long)"}"#, maximumBytes: 1_000_000)
    }
    #expect(error?.code == "OUTPUT_TOO_LARGE", "a text is for people")
  }
}

import Testing

@testable import ExecutionService

@Suite struct CommandToolFileTests {
  private func read(_ json: String, taken: [String] = ["calculate"]) throws -> [CommandDeclaration] {
    try CommandToolFile.read(Array(json.utf8), folder: "/etc", taken: taken)
  }

  private func tool(_ fields: String) -> String {
    #"{"tools": [{"name": "notify", "description": "Tells.", "command": ["sh"], "intents": {"telling": 0.9}, "#
      + #""hasSideEffects": true\#(fields)}]}"#
  }

  @Test func whatIsLeftOutHasItsDefault() throws {
    let declared = try #require(try read(tool("")).first)
    #expect(declared.command == ["/usr/bin/sh"] || declared.command == ["/bin/sh"])
    #expect(declared.tool.hasSideEffects && !declared.tool.isIdempotent && declared.tool.mustNotRepeat)
    #expect(declared.tool.risk == .medium && declared.tool.timeLimit == .seconds(60))
    #expect(declared.tool.price == ToolDeclaration.Price() && declared.tool.inputSchema == #"{"type": "object"}"#)
    #expect(declared.tool.maximumOutputBytes == 16_777_216 && declared.environment.isEmpty)
  }

  @Test func everythingCanBeSaid() throws {
    let fields = #"""
      , "idempotent": true, "risk": "high", "timeLimit": 5, "maximumInputBytes": 10, "maximumOutputBytes": 20,
      "price": {"perCallMicros": 7, "perMebibyteMicros": 8}, "environment": ["TOKEN"],
      "examples": {"telling": ["tell Bob", "tell Eva"]}, "inputSchema": {"type": "object", "required": ["to"]}
      """#
    let declared = try #require(try read(tool(fields)).first)
    #expect(declared.tool.isIdempotent && declared.tool.risk == .high && declared.tool.timeLimit == .seconds(5))
    #expect(declared.tool.price == .init(perCallMicros: 7, perMebibyteMicros: 8))
    #expect(declared.tool.inputSchema == #"{"type":"object","required":["to"]}"#)
    #expect(declared.environment == ["TOKEN"] && declared.examples == ["telling": ["tell Bob", "tell Eva"]])
  }

  /// What is wrong with each, by a part of its message.
  static let bad: [(fields: String, message: String)] = [
    (#", "timelimit": 5"#, "there is no field timelimit; did you mean timeLimit?"),
    (#", "risk": "huge""#, "risk: it is"), (#", "timeLimit": 0"#, "timeLimit: 0 is not a whole number from 1"),
    (#", "timeLimit": 1.5"#, "timeLimit: 1.5"), (#", "idempotent": 1"#, "idempotent: 1 is neither true nor false"),
    (#", "price": {"perCall": 7}"#, "price: there is no field perCall"),
    (#", "price": {"perCallMicros": -7}"#, "perCallMicros: -7"), (#", "inputSchema": "x""#, "inputSchema"),
    (#", "examples": {"other": []}"#, "\"other\" is none of the tool's intents"),
    (#", "environment": [1]"#, "environment: 1 is not a text"),
    (#", "name": "again""#, "the key \"name\" is there twice"),
  ]

  @Test(arguments: bad) func whatCannotBeTakenIsNamed(_ bad: (fields: String, message: String)) throws {
    let error = #expect(throws: CommandToolError.self) { try read(tool(bad.fields)) }
    #expect(error?.description.contains(bad.message) == true, "\(error?.description ?? "")")
  }

  @Test func whatIsMissingOrClashesIsNamed() throws {
    func message(_ json: String, taken: [String] = []) -> String {
      do {
        _ = try read(json, taken: taken)
        return ""
      } catch {
        return "\(error)"
      }
    }
    #expect(message("[]") == "the file: it is a list, not an object")
    #expect(message("{}") == "the file: tools is missing")
    #expect(message(#"{"tools": [{}]}"#) == "tool 1: name is missing")
    #expect(message(#"{"tools": [{"name": "No"}]}"#).contains("is not like data_analyze"))
    #expect(message(tool(""), taken: ["notify"]) == "tool 1: there is a tool notify already")
    let none = tool("").replacing(#"["sh"]"#, with: #"["no-such-program"]"#)
    #expect(message(none).contains("no program no-such-program is in the PATH"))
    let plain = tool("").replacing(#"["sh"]"#, with: #"["./passwd"]"#)
    #expect(message(plain).contains("/etc/passwd is not a program that can be run"))
    #expect(message(tool("").replacing("\"intents\": {\"telling\": 0.9}, ", with: "")).contains("intents is missing"))
    #expect(message(tool("").replacing("0.9", with: "1.9")).contains("no confidence from 0 to 1"))
    #expect(throws: CommandToolError("it cannot be read")) { try CommandToolFile.read(path: "/no/such", taken: []) }
  }

  @Test func theClassifierLearnsFromTheExamples() {
    let classifier = IntentClassifier(learning: [["watering": ["water the roses", "sprinkle the lawn with water"]]])
    #expect(classifier.classify(objective: "please water the lawn", inputs: []).name == "watering")
    #expect(classifier.classify(objective: "What is 6 * 7?", inputs: []).name == "calculation")
  }
}

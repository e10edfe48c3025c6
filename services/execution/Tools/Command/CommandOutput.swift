import Foundation
import Messages

/// What a program has said so far on its standard output: one JSON object a line, each with one or more of these:
///
///     {"progress": 0.4, "message": "reading"}
///     {"text": "What a person reads first."}
///     {"artifact": {"name": "table.csv", "mediaType": "text/csv", "path": "out.csv"}}     or "base64": "…"
///     {"error": {"code": "NO_ACCESS", "message": "The account has no access."}}
///     {"ask": {"id": "which", "prompt": "Which one?", "kind": "CHOICE", "options": ["a", "b"]}}
///
/// Of a line with several, the progress counts first, then the text, the artifact, and the error or the question.
///
/// Pure but for files that an artifact's `path` names, which are read by `file`.
struct CommandOutput: Sendable {
  /// What a line has brought.
  struct Line {
    /// From 0 to 1.
    var progress: (share: Double, message: String)?
    /// Whether the output has grown.
    var isOutput = false
  }

  private static let keys: Set<String> = ["progress", "message", "text", "artifact", "error", "ask"]
  /// The longest name and media type of an artifact, in characters.
  static let longestName = 255

  /// The longest text shown to people, in bytes; see `ToolOutput.text`.
  static let maximumText = 64 * 1_024
  static let maximumArtifacts = 100

  let maximumBytes: Int
  /// Reads a file that the program has made; at most so many bytes.
  let file: @Sendable (_ path: String, _ maximumBytes: Int) throws -> [UInt8]

  private(set) var texts: [String] = []
  private(set) var artifacts: [ToolArtifact] = []
  private(set) var failure: ToolError?
  private(set) var question: ToolQuestion?
  private var size = 0
  private var lines = 0

  init(maximumBytes: Int, file: @escaping @Sendable (_ path: String, _ maximumBytes: Int) throws -> [UInt8]) {
    self.maximumBytes = maximumBytes
    self.file = file
  }

  /// The longest line: an artifact of the largest size in base64, and what stands around it.
  var maximumLine: Int { maximumBytes / 3 * 4 + 64 * 1_024 }

  var isEmpty: Bool { texts.isEmpty && artifacts.isEmpty }

  func output(bytesRead: Int) -> ToolOutput {
    ToolOutput(text: texts.joined(separator: "\n"), artifacts: artifacts, bytesRead: bytesRead)
  }

  /// Takes one line without its end. Throws `ToolError` BAD_OUTPUT, OUTPUT_TOO_LARGE.
  mutating func take(_ line: [UInt8]) throws -> Line {
    lines += 1
    guard line.contains(where: { $0 > 0x20 }) else { return Line() }
    let json: Messages.JSONValue
    do {
      json = try Messages.JSONReader.read(line, maximumDepth: 16)
    } catch {
      throw bad("\(error)")
    }
    let fields = try object(json, "it", Self.keys)
    guard fields.keys.contains(where: { $0 != "message" }) else {
      throw bad("it has none of progress, text, artifact, error, ask")
    }
    guard fields["message"] == nil || fields["progress"] != nil else { throw bad("a message goes with a progress") }
    var taken = Line()
    taken.progress = try fields["progress"].map { try progress($0, fields["message"]) }
    if let text = fields["text"] { try take(text: try string(text, "text")) }
    if let artifact = fields["artifact"] { try take(artifact: artifact) }
    taken.isOutput = fields["text"] != nil || fields["artifact"] != nil
    if let error = fields["error"] { failure = try failure(error) }
    if let ask = fields["ask"] { question = try question(ask) }
    return taken
  }

  // MARK: - Kinds of lines

  private func progress(
    _ share: Messages.JSONValue, _ message: Messages.JSONValue?
  ) throws -> (share: Double, message: String) {
    guard case .number(let digits) = share, let fraction = Double(digits), (0...1).contains(fraction) else {
      throw bad("progress is \(share.shown), not a number from 0 to 1")
    }
    return (fraction, try message.map { try string($0, "message") } ?? "")
  }

  private mutating func take(text: String) throws {
    try grow(by: text.utf8.count)
    guard texts.reduce(text.utf8.count, { $0 + $1.utf8.count + 1 }) <= Self.maximumText else {
      throw ToolError("OUTPUT_TOO_LARGE", "The text is longer than \(Self.maximumText) bytes; make it an artifact.")
    }
    texts.append(text)
  }

  private mutating func take(artifact json: Messages.JSONValue) throws {
    let fields = try object(json, "artifact", ["name", "mediaType", "base64", "path"])
    let name = try string(fields["name"], "artifact.name")
    let mediaType = try string(fields["mediaType"], "artifact.mediaType")
    guard !name.isEmpty, !name.contains("/"), artifacts.count < Self.maximumArtifacts else {
      throw bad("an artifact has a name without slashes, and there are at most \(Self.maximumArtifacts)")
    }
    guard name.count <= Self.longestName, mediaType.count <= Self.longestName else {
      throw bad("an artifact's name and media type have at most \(Self.longestName) characters")
    }
    let bytes: [UInt8]
    switch (fields["base64"], fields["path"]) {
    case (let text?, nil):
      guard let data = Data(base64Encoded: try string(text, "artifact.base64")) else { throw bad("it is not base64") }
      bytes = Array(data)
    case (nil, let path?): bytes = try file(try string(path, "artifact.path"), maximumBytes - size)
    default: throw bad("an artifact has either base64 or path")
    }
    try grow(by: bytes.count)
    artifacts.append(ToolArtifact(name: name, mediaType: mediaType, bytes: bytes))
  }

  private func failure(_ json: Messages.JSONValue) throws -> ToolError {
    let fields = try object(json, "error", ["code", "message"])
    let code = try string(fields["code"], "error.code")
    guard code.wholeMatch(of: #/[A-Z][A-Z0-9_]{0,63}/#) != nil else {
      throw bad("error.code is not like NO_ACCESS: capitals, digits and _")
    }
    return ToolError(code, try string(fields["message"], "error.message"))
  }

  private func question(_ json: Messages.JSONValue) throws -> ToolQuestion {
    let fields = try object(json, "ask", ["id", "prompt", "kind", "options"])
    let kinds: [String: AnswerKind] = ["YES_NO": .yesNo, "CHOICE": .choice, "TEXT": .text, "NUMBER": .number]
    let (id, prompt) = (try string(fields["id"], "ask.id"), try string(fields["prompt"], "ask.prompt"))
    guard let kind = kinds[try string(fields["kind"], "ask.kind")] else {
      throw bad("ask.kind is none of YES_NO, CHOICE, TEXT, NUMBER")
    }
    var options: [String] = []
    if let json = fields["options"] {
      guard case .array(let list) = json else { throw bad("ask.options is not a list") }
      options = try list.map { try string($0, "ask.options") }
    }
    guard (1...100).contains(id.count), (1...1_000).contains(prompt.count),
      kind == .choice ? (2...20).contains(options.count) : options.isEmpty,
      options.allSatisfy({ (1...200).contains($0.count) }), Set(options).count == options.count
    else { throw bad("a question has an id, a prompt, and 2 to 20 different options if it is a CHOICE") }
    return ToolQuestion(id: id, prompt: prompt, kind: kind, options: options)
  }

  // MARK: - Parts of lines

  private func string(_ json: Messages.JSONValue?, _ name: String) throws -> String {
    guard case .string(let text)? = json else { throw bad("\(name) is \(json?.shown ?? "missing"), not a text") }
    return text
  }

  private func object(
    _ json: Messages.JSONValue, _ name: String, _ known: Set<String>
  ) throws -> [String: Messages.JSONValue] {
    guard case .object(let members) = json else { throw bad("\(name) is \(json.shown), not an object") }
    if let unknown = members.first(where: { !known.contains($0.key) }) { throw bad("\(name) has no \(unknown.key)") }
    return Dictionary(uniqueKeysWithValues: members.map { ($0.key, $0.value) })
  }

  private mutating func grow(by bytes: Int) throws {
    size += bytes
    guard size <= maximumBytes else {
      throw ToolError("OUTPUT_TOO_LARGE", "The output is larger than \(maximumBytes) bytes.")
    }
  }

  private func bad(_ why: String) -> ToolError {
    ToolError("BAD_OUTPUT", "Line \(lines) of the program's output cannot be taken: \(why).")
  }
}

import Foundation
import Messages

/// A program that is a tool, as the file of tools declares it.
struct CommandDeclaration: Sendable {
  var tool: ToolDeclaration
  /// The program's absolute path and its arguments.
  var command: [String]
  /// The variables of this process that the program is given.
  var environment: [String]
  /// Objectives by the intent they mean, from which the classifier learns.
  var examples: [String: [String]]
}

/// The file of tools: `{"tools": [{…}, …]}`. Strict: what is unknown, doubled, missing or of the wrong kind is an error
/// that names the tool and the field, because a limit that is misspelt is a limit that does not hold.
enum CommandToolFile {
  static let maximumTools = 100
  static let maximumExamples = 1_000

  /// Throws `CommandToolError`.
  ///
  /// - Parameters:
  ///   - folder: where the file is: programs and arguments that begin with `./` or `../` are meant from there.
  ///   - taken: the names of the tools that are there already.
  static func read(_ bytes: [UInt8], folder: String, taken: [String]) throws -> [CommandDeclaration] {
    let json: Messages.JSONValue
    do {
      json = try Messages.JSONReader.read(bytes, maximumDepth: 32)
    } catch {
      throw CommandToolError("\(error)")
    }
    var file = try CommandFields(json, of: "the file")
    let list = try file.list("tools")
    try file.end()
    guard list.count <= maximumTools else {
      throw CommandToolError("\(list.count) tools; at most \(maximumTools) are taken")
    }
    var names = Set(taken)
    return try list.enumerated().map { index, value in
      let declaration = try CommandDeclaration(value, number: index + 1, folder: folder)
      guard names.insert(declaration.tool.name).inserted else {
        throw CommandToolError("tool \(index + 1): there is a tool \(declaration.tool.name) already")
      }
      return declaration
    }
  }

  /// Throws `CommandToolError` also where the file cannot be read.
  static func read(path: String, taken: [String]) throws -> [CommandDeclaration] {
    let url = URL(fileURLWithPath: path)
    guard let data = try? Data(contentsOf: url) else { throw CommandToolError("it cannot be read") }
    return try read(Array(data), folder: url.deletingLastPathComponent().path, taken: taken)
  }
}

/// What is wrong with a file of tools.
struct CommandToolError: Error, Sendable, Hashable, CustomStringConvertible {
  let description: String

  init(_ description: String) { self.description = description }
}

extension CommandDeclaration {
  init(_ json: Messages.JSONValue, number: Int, folder: String) throws {
    var fields = try CommandFields(json, of: "tool \(number)")
    let name = try fields.text("name", 1...64)
    guard name.wholeMatch(of: #/[a-z][a-z0-9_]*/#) != nil else {
      throw fields.wrong("name", "\"\(name)\" is not like data_analyze: lower case letters, digits and _")
    }
    fields.subject = "tool \(number) (\(name))"
    let intents = try fields.intents()
    let hasSideEffects = try fields.flag("hasSideEffects")
    let risk = try fields.optionalText("risk") ?? (hasSideEffects ? "medium" : "low")
    guard let risk = ToolDeclaration.Risk(rawValue: risk) else {
      throw fields.wrong("risk", "it is \"low\", \"medium\" or \"high\"")
    }
    command = try fields.texts("command", 1...100, required: true)
    tool = ToolDeclaration(
      name: name, description: try fields.text("description", 1...500), inputSchema: try fields.schema("inputSchema"),
      intents: intents, hasSideEffects: hasSideEffects,
      isIdempotent: try fields.optionalFlag("idempotent") ?? !hasSideEffects, risk: risk,
      timeLimit: .seconds(try fields.number("timeLimit", 1...86_400, default: 60)),
      maximumInputBytes: Int(try fields.number("maximumInputBytes", 0...1_073_741_824, default: 16_777_216)),
      maximumOutputBytes: Int(try fields.number("maximumOutputBytes", 1...67_108_864, default: 16_777_216)),
      price: try fields.price("price"))
    environment = try fields.texts("environment", 0...100, required: false)
    examples = try fields.examples("examples", intents: intents)
    try fields.end()
    command = try Self.resolved(command, folder: folder, fields)
  }

  /// The program by its path, and what is meant from the file's folder as a path too.
  private static func resolved(_ command: [String], folder: String, _ fields: CommandFields) throws -> [String] {
    func fromFolder(_ text: String) -> String {
      guard text.hasPrefix("./") || text.hasPrefix("../") else { return text }
      return URL(fileURLWithPath: folder + "/" + text).standardizedFileURL.path
    }
    guard command.allSatisfy({ !$0.contains("\0") }) else { throw fields.wrong("command", "it holds a NUL character") }
    var command = command.map(fromFolder)
    let program = command[0]
    let folders = (ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin").split(separator: ":")
    let places = program.contains("/") ? [program] : folders.map { "\($0)/\(program)" }
    guard let found = places.first(where: Self.isProgram) else {
      throw fields.wrong(
        "command",
        program.contains("/") ? "\(program) is not a program that can be run" : "no program \(program) is in the PATH")
    }
    command[0] = URL(fileURLWithPath: found).path
    return command
  }

  private static func isProgram(_ path: String) -> Bool {
    var isFolder: ObjCBool = false
    return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && !isFolder.boolValue
      && FileManager.default.isExecutableFile(atPath: path)
  }
}

extension CommandDeclaration {
  /// The file of tools that a setting names; none for an empty path. Throws what is wrong with it.
  static func all(in path: String, besides builtIn: [ToolDeclaration]) throws -> [CommandDeclaration] {
    path.isEmpty ? [] : try CommandToolFile.read(path: path, taken: builtIn.map(\.name))
  }
}

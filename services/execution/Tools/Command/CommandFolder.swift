import Foundation
import Messages

/// The private folder of one call: what the program is told, its inputs, and what it writes there. Blocks: to be used
/// on a thread that may.
struct CommandFolder: Sendable {
  let path: String

  /// Where the folders of all execution services of this user are.
  private static var root: String {
    FileManager.default.temporaryDirectory.path + "/buddy-tools-\(getuid())"
  }

  private init(path: String) { self.path = path }

  /// Makes a folder that only this user can look into.
  static func make() throws -> CommandFolder {
    try FileManager.default.createDirectory(
      atPath: root, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    // Whoever made it beforehand could read what is put there, or put something else there.
    let found = try FileManager.default.attributesOfItem(atPath: root)
    let permissions = (found[.posixPermissions] as? NSNumber)?.intValue ?? 0o777
    guard found[.type] as? FileAttributeType == .typeDirectory, permissions & 0o077 == 0,
      (found[.ownerAccountID] as? NSNumber)?.uint32Value == getuid()
    else { throw ToolError("NO_TEMPORARY_FOLDER", "\(root) is not a private folder of this user; remove it.") }
    var template = Array("\(root)/\(getpid())-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else {
      throw ToolError("NO_TEMPORARY_FOLDER", "No folder can be made in \(root): \(String(cString: strerror(errno))).")
    }
    return CommandFolder(path: template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) })
  }

  func remove() { try? FileManager.default.removeItem(atPath: path) }

  /// Writes the inputs and the call itself; returns the path of the latter.
  func write(_ call: ToolCall) throws -> String {
    let inputs = path + "/inputs"
    try FileManager.default.createDirectory(atPath: inputs, withIntermediateDirectories: false)
    var described: [JSONValue] = []
    for (index, input) in call.inputs.enumerated() {
      let ending = input.name.split(separator: ".", omittingEmptySubsequences: false).dropFirst().last.map(String.init)
      let suffix = ending.flatMap { $0.wholeMatch(of: #/[A-Za-z0-9]{1,10}/#) == nil ? nil : "." + $0 } ?? ""
      // By number: a name that a person gave is no name of a file until it was looked at.
      let file = "\(inputs)/\(index)\(suffix)"
      try Data(input.bytes).write(to: URL(fileURLWithPath: file))
      described.append(
        .object([
          ("name", .string(input.name)), ("mediaType", .string(input.mediaType)), ("path", .string(file)),
        ]))
    }
    let json = JSONValue.object([
      ("missionId", .string(call.missionID)), ("objective", .string(call.objective)),
      ("parameters", .object(call.parameters.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) })),
      ("inputs", .array(described)), ("idempotencyKey", .string(call.idempotencyKey)),
      ("answers", .object(call.answers.map { ($0.question?.id ?? "", JSONValue($0.answer)) })),
    ])
    let file = path + "/call.json"
    try Data((json.compact + "\n").utf8).write(to: URL(fileURLWithPath: file))
    return file
  }

  /// Reads a file that the program has made. Throws `ToolError`.
  func read(_ name: String, maximumBytes: Int) throws -> [UInt8] {
    let url = URL(fileURLWithPath: name.hasPrefix("/") ? name : path + "/" + name).resolvingSymlinksInPath()
    let own = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
    guard url.path.hasPrefix(own + "/") else {
      throw ToolError("BAD_OUTPUT", "The artifact \(name.shortened(to: 200)) is not in the program's working folder.")
    }
    let type = try? FileManager.default.attributesOfItem(atPath: url.path)[.type] as? FileAttributeType
    // Not blocking, should somebody have put a pipe there since.
    let descriptor = type == .typeRegular ? open(url.path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC) : -1
    guard descriptor >= 0 else {
      throw ToolError("BAD_OUTPUT", "The artifact \(name.shortened(to: 200)) is not a file that can be read.")
    }
    let handle = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    let data = try handle.read(upToCount: maximumBytes + 1) ?? Data()
    guard data.count <= maximumBytes else {
      throw ToolError("OUTPUT_TOO_LARGE", "The artifact \(name.shortened(to: 200)) is too large.")
    }
    return Array(data)
  }

  /// Removes the folders of processes that are dead.
  static func removeLeft() {
    for name in (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? [] {
      guard let owner = name.split(separator: "-").first.flatMap({ Int32($0) }), owner != getpid() else { continue }
      if kill(owner, 0) != 0, errno == ESRCH { CommandFolder(path: root + "/" + name).remove() }
    }
  }
}

extension JSONValue {
  /// What a person has answered.
  init(_ answer: Answer?) {
    self =
      switch answer?.value {
      case .yes(let yes): .bool(yes)
      case .choice(let text), .text(let text): .string(text)
      case .number(let number): .double(number)
      case nil: .null
      }
  }
}

import Foundation
import Messages
import RPC
import Stubs
import TestSupport

/// Programs of a test as tools of a whole installation.
struct ToolScripts {
  private let folder: TemporaryFolder
  private var tools: [[String: Any]] = []

  init() throws { folder = try TemporaryFolder("tools") }

  func file(_ name: String) -> String { folder.file(name) }

  /// Adds a shell script as a tool with an intent of its own; it changes something, and must not be repeated.
  mutating func add(_ name: String, _ script: String, _ fields: [String: Any] = [:]) throws {
    let path = folder.file("\(name).sh")
    try Data("#!/bin/sh\n\(script)\n".utf8).write(to: URL(fileURLWithPath: path))
    try FileManager.default.setAttributes([.posixPermissions: 0o700], ofItemAtPath: path)
    let tool: [String: Any] = [
      "name": name, "description": "A script of a test.", "command": ["./\(name).sh"], "intents": [name: 0.9],
      "hasSideEffects": true, "price": ["perCallMicros": 10], "examples": [name: ["do what \(name) does"]],
    ]
    tools.append(tool.merging(fields) { $1 })
  }

  /// `buddy up` with these tools. `settings` are the execution service's.
  func installation(_ settings: [String: Any] = [:]) async throws -> Installation {
    try JSONSerialization.data(withJSONObject: ["tools": tools]).write(to: URL(fileURLWithPath: file("tools.json")))
    let execution = settings.merging(["tools": file("tools.json")]) { $1 }
    try JSONSerialization.data(withJSONObject: ["execution": execution])
      .write(to: URL(fileURLWithPath: file("buddy.json")))
    return try await Installation(["--config", file("buddy.json")])
  }

  /// The numbers that scripts have written into a file, each on a line.
  func numbers(_ name: String) -> [Int32] {
    ((try? String(contentsOfFile: file(name), encoding: .utf8)) ?? "").split(separator: "\n").compactMap { Int32($0) }
  }
}

extension Installation {
  /// The address of a service, from the file that tells it.
  func client(_ service: String) throws -> Client {
    let data = try Data(contentsOf: URL(fileURLWithPath: folder.file("data/installation.json")))
    let json = try JSONSerialization.jsonObject(with: data) as? [String: [String: [String: String]]]
    let port = json?["services"]?[service]?["address"]?.split(separator: ":").last.flatMap { Int($0) }
    guard let port else { throw NeverHappened(description: "no address of \(service)") }
    return Client(host: "127.0.0.1", port: port)
  }
}

/// Whether a process runs; one that has ended and was not waited for yet does not.
func isAlive(_ process: Int32) -> Bool {
  guard let status = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8) else { return false }
  return !status.contains(") Z ")
}

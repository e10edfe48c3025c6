import Foundation
import ServiceKit

/// How restored state takes the place of what is in a data folder, so that a crash at any point loses neither.
///
///     <data>/restoring/new     the services' state from the backup, until it is complete
///     <data>/restoring/ready   written then: what is in the data folder goes aside …
///     <data>/restoring/placing … and, once this has its name, what is in `new` takes its place
///
/// Up to `ready` the data folder is as it was. From there on the only way is forward: whoever finds the file finishes
/// what it says, by the same renames.
struct RestoreJournal: Sendable {
  /// What `ready` holds.
  struct Plan: Codable, Hashable, Sendable {
    /// Where the backup was.
    var backup: String
    /// When the backup was made.
    var time: Date
    /// The folder inside the data folder that takes the old state.
    var aside: String
  }

  let data: String
  var folder: String { "\(data)/restoring" }
  var new: String { "\(folder)/new" }
  private var ready: String { "\(folder)/ready" }
  private var placing: String { "\(folder)/placing" }
  private var loading: String { "\(folder)/loading" }

  /// What an earlier restore did not come to finish; nil where there is nothing of that kind.
  func unfinished() throws -> Plan? {
    guard let bytes = [ready, placing].lazy.compactMap({ FileManager.default.contents(atPath: $0) }).first else {
      return nil
    }
    do {
      return try JSONDecoder().decode(Plan.self, from: bytes)
    } catch {
      throw CommandError(
        code: "DATA_FOLDER", message: "\(folder) was left by a restore and cannot be read", exit: .damagedData)
    }
  }

  /// The backup whose restore must be finished before anything may run here; nil where there is none.
  func interrupted() throws -> String? {
    if let plan = try unfinished() { return plan.backup }
    return try? String(contentsOfFile: loading, encoding: .utf8)
  }

  /// From here on a server's database may have the state of some services and not yet that of others. What follows is
  /// to be done as a whole, or again.
  func beginLoading(_ backup: String) async throws {
    try await FileBytes.write(loading, Array(backup.utf8))
    try await FileBytes.syncFolder(folder)
  }

  /// Starts with an empty `new`; what an attempt that did not get ready has left goes.
  func begin() async throws {
    discard()
    try await FileBytes.makeFolder(new)
  }

  /// Removes what is not complete.
  func discard() { try? FileManager.default.removeItem(atPath: folder) }

  /// From here on the restored state counts.
  func commit(_ plan: Plan) async throws {
    try await FileBytes.write(ready + ".partial", Array(try JSONEncoder().encode(plan)))
    try await FileBytes.syncFolder(new)
    try Self.move(ready + ".partial", to: ready)
    try await FileBytes.syncFolder(folder)
  }

  /// Does what is left to be done.
  func finish(_ plan: Plan) async throws {
    if access(placing, F_OK) != 0 {
      let aside = "\(data)/\(plan.aside)"
      for name in try Self.state(in: data) {
        try await FileBytes.makeFolder(aside)
        try Self.move("\(data)/\(name)", to: "\(aside)/\(name)")
      }
      try await FileBytes.syncFolder(data)
      try Self.move(ready, to: placing)
      try await FileBytes.syncFolder(folder)
    }
    for name in try Self.state(in: new) { try Self.move("\(new)/\(name)", to: "\(data)/\(name)") }
    try await FileBytes.syncFolder(data)
    // The journal goes before its folder: half of a removal must not look like something to finish.
    unlink(placing)
    discard()
  }

  /// The names of what services keep in a data folder: their databases with all that belongs to them, and artifacts.
  static func state(in folder: String) throws -> [String] {
    guard FileManager.default.fileExists(atPath: folder) else { return [] }
    let databases = ServiceFleet.stateful.map { "\($0.rawValue).sqlite3" }
    return try FileManager.default.contentsOfDirectory(atPath: folder).filter { name in
      name == "artifacts" || databases.contains { name.hasPrefix($0) }
    }.sorted()
  }

  private static func move(_ source: String, to target: String) throws {
    guard rename(source, target) == 0 else {
      let reason = String(cString: strerror(errno)).lowercased()
      throw CommandError(
        code: "DATA_FOLDER",
        message: "cannot move \(source) to \(target): \(reason); run the same command again to go on",
        exit: .cannotWrite)
    }
  }
}

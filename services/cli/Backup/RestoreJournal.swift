import Foundation
import ServiceKit

/// How restored state takes the place of what is in a data folder, so that a crash at any point loses neither.
///
///     <data>/restoring/loading while databases of a server are filled: until the end only this can be done here
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
    var target: Target = [:]
  }

  /// Where the state goes: by service, the server's database without its password; nothing for files.
  typealias Target = [String: String]

  /// A restore that was begun.
  struct Attempt: Codable, Hashable, Sendable {
    /// Where the backup is.
    var backup: String
    var target: Target

    /// ` into postgres://…`, or nothing for files.
    var place: String {
      let names = Set(target.values).sorted()
      return names.isEmpty ? "" : " into \(names.joined(separator: ", "))"
    }
  }

  let data: String
  var folder: String { "\(data)/restoring" }
  var new: String { "\(folder)/new" }
  private var ready: String { "\(folder)/ready" }
  private var placing: String { "\(folder)/placing" }
  private var loading: String { "\(folder)/loading" }

  /// What an earlier restore did not come to finish; nil where there is nothing of that kind.
  func unfinished() throws -> Plan? {
    try read(Plan.self, [ready, placing])
  }

  private func read<Content: Decodable>(_ type: Content.Type, _ paths: [String]) throws -> Content? {
    guard let bytes = paths.lazy.compactMap({ FileManager.default.contents(atPath: $0) }).first else { return nil }
    do {
      return try JSONDecoder().decode(type, from: bytes)
    } catch {
      throw CommandError(
        code: "DATA_FOLDER", message: "\(folder) was left by a restore and cannot be read", exit: .damagedData)
    }
  }

  /// The restore that must be finished before anything may run here; nil where there is none.
  func interrupted() throws -> Attempt? {
    if let plan = try unfinished() { return Attempt(backup: plan.backup, target: plan.target) }
    return try read(Attempt.self, [loading])
  }

  /// What an earlier restore left half done, if anything. Throws where that went to another place: there it has to be
  /// made whole, and from here nobody would know of it any more.
  func interrupted(in target: Target) throws -> Attempt? {
    guard let earlier = try interrupted() else { return nil }
    guard earlier.target != target else { return earlier }
    throw CommandError(
      code: "RESTORE_UNFINISHED",
      message: "the restore of \(earlier.backup)\(earlier.place.isEmpty ? " into files" : earlier.place) was "
        + "interrupted; restore there again before you restore elsewhere, or use another data folder",
      exit: .failed)
  }

  /// From here on a server's database may have the state of some services and not yet that of others. What follows is
  /// to be done as a whole, or again.
  func beginLoading(_ attempt: Attempt) async throws {
    unlink(loading + ".partial")
    try await FileBytes.write(loading + ".partial", Array(try JSONEncoder().encode(attempt)))
    try Self.move(loading + ".partial", to: loading)
    try await FileBytes.syncFolder(folder)
  }

  /// Starts with an empty `new`; what an attempt that did not get ready has left goes, but for the word of what it did
  /// to a server's databases.
  func begin() async throws {
    let left = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    for name in left where "\(folder)/\(name)" != loading {
      try FileManager.default.removeItem(atPath: "\(folder)/\(name)")
    }
    try await FileBytes.makeFolder(new)
  }

  /// A name inside the data folder that nothing has yet; it tells the second, in UTC.
  func freeAside() -> String {
    let time: String = Date().formatted(.iso8601)
    let first = "before-restore-" + time.replacing(":", with: "").replacing("-", with: "")
    var (name, number) = (first, 1)
    while access("\(data)/\(name)", F_OK) == 0 {
      number += 1
      name = "\(first)-\(number)"
    }
    return name
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
    unlink(loading)
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

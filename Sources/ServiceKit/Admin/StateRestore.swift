import Foundation
import Storage

/// Puts a service's folder of a backup in the place of its state.
struct StateRestore: Sendable {
  /// Holds the database's copy and the files that belong to it.
  let backup: String
  /// Where the files go.
  let folder: String
  /// Whether a database that is there goes aside.
  let replaces: Bool

  /// Thrown by what opens a database when the process is only there to restore one: nothing is left to do.
  struct Done: Error {}

  func run(_ location: DatabaseLocation, _ migrations: [Migration]) async throws {
    let names = try await FileBytes.onPool { [self] in try list() }
    guard names.contains(BackupPath.database) else {
      throw StorageError.cannotOpen(path: "\(backup)/\(BackupPath.database)", reason: "it is not there")
    }
    // The database comes last: without it the files mean nothing, and the next attempt takes those that are there.
    for name in names where name != BackupPath.database { try await copy(name) }
    try await Database.restore(
      location, from: "\(backup)/\(BackupPath.database)", migrations: migrations, replaces: replaces)
  }

  private func list() throws -> [String] {
    try FileManager.default.subpathsOfDirectory(atPath: backup).sorted().filter { name in
      let type = try FileManager.default.attributesOfItem(atPath: "\(backup)/\(name)")[.type] as? FileAttributeType
      guard type == .typeRegular || type == .typeDirectory, BackupPath.isSafe(name) else {
        throw StorageError.cannotOpen(path: "\(backup)/\(name)", reason: "it is no plain file")
      }
      return type == .typeRegular
    }
  }

  /// A file that is whole gets its name at the end, and is left alone if it is there already.
  private func copy(_ name: String) async throws {
    let target = "\(folder)/\(name)"
    if access(target, F_OK) == 0 { return }
    let parent = URL(fileURLWithPath: target).deletingLastPathComponent().path
    try await FileBytes.makeFolder(parent)
    let partial = target + ".restoring"
    unlink(partial)
    try await FileBytes.copy("\(backup)/\(name)", to: partial)
    guard rename(partial, target) == 0 else { throw FileError("rename", partial, errno) }
    try await FileBytes.syncFolder(parent)
  }
}

import Foundation
import ServiceKit

/// A backup that is being written, under another name until it is whole.
///
/// What makes the unfinished folder ours is a marker file, locked while its `buddy` lives: one that was killed leaves a
/// folder that the next attempt may clear.
final class BackupFolder: Sendable {
  /// Where the backup will be.
  let path: String
  /// Where it is written.
  let partial: String
  private let lock: Int32

  private static let marker = "incomplete"

  private init(path: String, partial: String, lock: Int32) {
    self.path = path
    self.partial = partial
    self.lock = lock
  }

  deinit { close(lock) }

  /// Throws status 73 where there is something of that name, or where the folder cannot be made.
  static func begin(_ name: String) throws -> BackupFolder {
    let path = URL(fileURLWithPath: name).standardizedFileURL.path
    let partial = path + ".partial"
    try checkAbsent(path)
    try clear(partial)
    guard mkdir(partial, 0o700) == 0 else { throw failure("cannot make \(partial)", errno) }
    let lock = open("\(partial)/\(marker)", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard lock >= 0, flock(lock, LOCK_EX | LOCK_NB) == 0 else {
      throw failure("cannot write \(partial)/\(marker)", errno)
    }
    return BackupFolder(path: path, partial: partial, lock: lock)
  }

  /// Writes the manifest, makes everything durable and gives the folder its name.
  func finish(_ manifest: BackupManifest) async throws {
    try await FileBytes.write("\(partial)/\(BackupManifest.fileName)", manifest.encoded())
    for name in try FileManager.default.subpathsOfDirectory(atPath: partial) {
      var isFolder: ObjCBool = false
      _ = FileManager.default.fileExists(atPath: "\(partial)/\(name)", isDirectory: &isFolder)
      if isFolder.boolValue { try await FileBytes.syncFolder("\(partial)/\(name)") }
    }
    unlink("\(partial)/\(Self.marker)")
    try await FileBytes.syncFolder(partial)
    try Self.checkAbsent(path)
    guard rename(partial, path) == 0 else { throw Self.failure("cannot rename \(partial) to \(path)", errno) }
    try await FileBytes.syncFolder(URL(fileURLWithPath: path).deletingLastPathComponent().path)
  }

  /// Leaves nothing behind. Harmless after `finish`.
  func discard() { try? FileManager.default.removeItem(atPath: partial) }

  private static func checkAbsent(_ path: String) throws {
    guard !isThere(path) else {
      throw CommandError(
        code: "FILE_EXISTS", message: "\(path) exists; a backup goes into a folder of its own", exit: .cannotWrite)
    }
  }

  /// Removes what an attempt that was killed has left, and only that.
  private static func clear(_ partial: String) throws {
    guard isThere(partial) else { return }
    let lock = open("\(partial)/\(marker)", O_RDWR | O_CLOEXEC | O_NOFOLLOW)
    guard lock >= 0 else {
      throw CommandError(code: "FILE_EXISTS", message: "\(partial) exists and is in the way", exit: .cannotWrite)
    }
    defer { close(lock) }
    guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
      throw CommandError(
        code: "FILE_EXISTS", message: "another `buddy backup` is writing \(partial)", exit: .cannotWrite)
    }
    do {
      try FileManager.default.removeItem(atPath: partial)
    } catch {
      throw CommandError(code: "OUTPUT_FILE", message: "cannot remove \(partial)", exit: .cannotWrite)
    }
  }

  /// A link counts, wherever it leads.
  private static func isThere(_ path: String) -> Bool {
    (try? FileManager.default.attributesOfItem(atPath: path)) != nil
  }

  private static func failure(_ what: String, _ code: Int32) -> CommandError {
    CommandError(
      code: "OUTPUT_FILE", message: "\(what): \(String(cString: strerror(code)).lowercased())", exit: .cannotWrite)
  }
}

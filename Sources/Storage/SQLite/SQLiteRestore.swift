import Foundation

extension SQLiteEngine {
  /// Everything is done on a file beside the place, which gets its name once it is whole and up to date.
  func restore(from backup: String, _ migrations: [Migration], replaces: Bool) throws {
    try createFolder()
    let lock = try FileLock(path: path + ".lock", guarding: path)
    defer { lock.release() }
    let isEmpty = SQLiteFile(path: path).isEmpty
    guard isEmpty || replaces else { throw NotEmpty(place: path) }

    let staged = path + ".restoring"
    try removeAll(startingWith: staged)
    defer { try? removeAll(startingWith: staged) }
    try copyFile(backup, to: staged)
    try SQLiteEngine(path: staged, busyTimeout: busyTimeout).withConnection(isReadOnly: false) { session in
      try session.checkBackup(backup)
      try Migrator(migrations: migrations, path: backup).run(session)
    }
    try SQLiteFile(path: staged).check()
    if !isEmpty { try moveAside() }
    try SQLiteFile(path: staged).move(to: path)
  }

  /// The log first: the next database under this name must not find it.
  private func moveAside() throws {
    let suffixes = ["-shm", "-wal", ""]
    let aside = RestoreName.aside(path) { name in suffixes.contains { access(name + $0, F_OK) == 0 } }
    for suffix in suffixes where access(path + suffix, F_OK) == 0 {
      try SQLiteFile(path: path + suffix).move(to: aside + suffix)
    }
  }

  private func copyFile(_ source: String, to target: String) throws {
    do {
      try FileManager.default.copyItem(atPath: source, toPath: target)
      try FileManager.default.setAttributes([.posixPermissions: 0o600], ofItemAtPath: target)
    } catch {
      throw StorageError.io("copying \(source) to \(target): \(error.localizedDescription)")
    }
  }

  /// The file, its log, its lock and the copy that the migrator makes.
  private func removeAll(startingWith path: String) throws {
    let url = URL(fileURLWithPath: path)
    let folder = url.deletingLastPathComponent().path
    for name in try FileManager.default.contentsOfDirectory(atPath: folder)
    where name.hasPrefix(url.lastPathComponent) {
      try FileManager.default.removeItem(atPath: "\(folder)/\(name)")
    }
  }
}

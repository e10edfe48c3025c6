import Foundation

extension Database {
  /// Makes the state of a backup, a SQLite file that `HeldSnapshot.copy` made, that of a place, on either engine, and
  /// applies the migrations that it lacks. The backup's file is only read.
  ///
  /// Whatever fails, the place is as it was. Throws `StorageError.schemaNewer` for a backup of a newer program and
  /// `corrupt` for a damaged one.
  ///
  /// - Parameter replaces: What is there goes aside, under a name with `before_restore` in it; else it is an error,
  ///   ``NotEmpty``.
  public static func restore(
    _ location: DatabaseLocation, from backup: String, migrations: [Migration], replaces: Bool = false,
    options: DatabaseOptions = .init()
  ) async throws {
    let (engine, _) = Self.engine(location, options)
    let worker = try await Worker.start(name: "storage-restore") { _ in
      try engine.restore(from: backup, migrations, replaces: replaces)
    }
    await worker.join()
  }
}

enum RestoreName {
  /// What is put aside gets this at the end of its name; it tells the second, in UTC.
  static func aside(_ name: String) -> String {
    let time: String = Date().formatted(.iso8601)
    return "\(name)_before_restore_\(time.lowercased().filter { $0.isLetter || $0.isNumber })"
  }
}

/// A backup is only put where nothing is lost by it.
public struct NotEmpty: Error, Sendable, Hashable, CustomStringConvertible {
  public let place: String

  public var description: String { "there is a database already: \(place)" }
}

extension Database {
  /// Puts the state of a backup, a SQLite file that `HeldSnapshot.copy` made, into a place that has none, and applies
  /// the migrations that it lacks. The backup's file is only read.
  ///
  /// Whatever fails, nothing is there afterwards. Throws ``NotEmpty`` where there is a database already,
  /// `StorageError.schemaNewer` for a backup of a newer program, `corrupt` for a damaged one.
  public static func restore(
    _ location: DatabaseLocation, from backup: String, migrations: [Migration], options: DatabaseOptions = .init()
  ) async throws {
    let engine = engine(of: location, options)
    let worker = try await Worker.start(name: "storage-restore") { _ in
      try engine.restore(from: backup, migrations)
    }
    await worker.join()
  }
}

/// A backup is only put where nothing is lost by it.
public struct NotEmpty: Error, Sendable, Hashable, CustomStringConvertible {
  public let place: String

  public var description: String { "there is a database already: \(place)" }
}

import Foundation

extension Database {
  /// Makes the state of a backup, a SQLite file that `HeldSnapshot.copy` made, that of a place, on either engine, and
  /// applies the migrations that it lacks. The backup's file is only read.
  ///
  /// Whatever fails, the place is as it was. Throws `StorageError.schemaNewer` for a backup of a newer program and
  /// `corrupt` for a damaged one.
  ///
  /// - Parameter replaces: What is there goes aside, under a name with `before_restore` in it; else it is an error,
  ///   ``NotEmpty``. A place that is open somewhere is an error in any case: `StorageError.locked` or ``InUse``.
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
  /// A name that is free for what is put aside. Its end tells the second, in UTC, and a number after the first.
  ///
  /// - Parameter longest: In bytes; of a longer one the beginning is cut.
  static func aside(_ name: String, longest: Int = .max, isTaken: (String) throws -> Bool) rethrows -> String {
    let time: String = Date().formatted(.iso8601)
    let end = "_before_restore_\(time.lowercased().filter { $0.isLetter || $0.isNumber })"
    var number = 1
    while true {
      let end = number == 1 ? end : "\(end)_\(number)"
      let free = name.prefix(max(0, longest - end.utf8.count)) + end
      if try !isTaken(String(free)) { return String(free) }
      number += 1
    }
  }
}

/// A backup is only put where nothing is lost by it.
public struct NotEmpty: Error, Sendable, Hashable, CustomStringConvertible {
  public let place: String

  public var description: String { "there is a database already: \(place)" }
}

/// A backup is not put where somebody is at work, who would go on with what was there.
public struct InUse: Error, Sendable, Hashable, CustomStringConvertible {
  public let place: String
  /// What the server's list of connections calls them.
  public let users: [String]

  public var description: String {
    let names = users.filter { !$0.isEmpty }
    return "the database \(place) is in use by \(names.isEmpty ? "another process" : names.joined(separator: ", "))"
  }
}

public import Storage

/// A file beside a service's database that belongs to its state. It never changes while it has its name.
public struct StateFile: Sendable, Hashable {
  /// Below the data folder: `artifacts/ab/abcd…`. A backup keeps it under the same name.
  public let path: String
  /// Bytes.
  public let size: UInt64
  /// Of all its bytes, in lower-case hexadecimal.
  public let sha256: String

  public init(path: String, size: UInt64, sha256: String) {
    self.path = path
    self.size = size
    self.sha256 = sha256
  }
}

/// The files that the state of a database refers to, for its backup.
public typealias StateFiles = @Sendable (ReadConnection) throws -> [StateFile]

/// The names of files in a backup. They come from a service or from a file, and are never trusted.
public enum BackupPath {
  /// The copy of a service's database, whatever engine it runs on.
  public static let database = "database.sqlite3"

  /// Relative, and staying below the folder it is taken in: no empty component, no `.` or `..`, no backslash or control
  /// character; at most 1024 bytes.
  public static func isSafe(_ path: String) -> Bool {
    guard (1...1024).contains(path.utf8.count) else { return false }
    let components = path.split(separator: "/", omittingEmptySubsequences: false)
    let isPlain = path.unicodeScalars.allSatisfy { $0 != "\\" && $0.properties.generalCategory != .control }
    return isPlain && components.allSatisfy { !["", ".", ".."].contains($0) }
  }
}

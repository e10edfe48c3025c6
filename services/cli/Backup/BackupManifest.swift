import Foundation
import ServiceKit

/// What a backup consists of: `manifest.json`, which is written last and makes it whole.
struct BackupManifest: Codable, Hashable, Sendable {
  struct File: Codable, Hashable, Sendable {
    /// Below the service's folder of the backup.
    var path: String
    /// Bytes.
    var size: UInt64
    /// Lower-case hexadecimal.
    var sha256: String
  }

  struct Service: Codable, Hashable, Sendable {
    /// The number of its database's last migration.
    var schema: Int
    var files: [File]
  }

  static let fileName = "manifest.json"
  static let currentFormat = 1

  var format = Self.currentFormat
  /// The version of the `buddy` that made it.
  var buddy: String
  var time: Date
  /// By name.
  var services: [String: Service]

  var size: UInt64 { services.values.flatMap(\.files).reduce(0) { $0 + $1.size } }
  var fileCount: Int { services.values.reduce(0) { $0 + $1.files.count } }

  func encoded() throws -> [UInt8] {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    encoder.dateEncodingStrategy = .iso8601
    return Array(try encoder.encode(self)) + [0x0A]
  }

  /// Reads a backup's manifest. Throws status 66 where there is none and 65 for one that cannot be trusted.
  static func read(_ folder: String) throws -> BackupManifest {
    let path = "\(folder)/\(fileName)"
    guard let data = FileManager.default.contents(atPath: path) else {
      throw CommandError(
        code: "NO_BACKUP", message: "\(folder) is no backup: \(fileName) cannot be read there", exit: .notFound)
    }
    let decoder = JSONDecoder()
    decoder.dateDecodingStrategy = .iso8601
    struct Format: Decodable { let format: Int }
    if let format = try? decoder.decode(Format.self, from: data).format, format > currentFormat {
      throw CommandError(
        code: "NEWER_BACKUP",
        message: "\(folder) has format \(format), this buddy reads up to \(currentFormat): use the newer one",
        exit: .failed)
    }
    guard let manifest = try? decoder.decode(BackupManifest.self, from: data) else {
      throw damaged("\(path) is not what a backup writes")
    }
    try manifest.check(path)
    return manifest
  }

  private func check(_ path: String) throws {
    for (name, service) in services {
      guard ServiceName(rawValue: name) != nil else {
        throw CommandError(
          code: "NEWER_BACKUP", message: "\(path) has a service \(name), which this buddy does not know", exit: .failed)
      }
      let paths = service.files.map(\.path)
      if let bad = paths.first(where: { !BackupPath.isSafe($0) }) {
        throw Self.damaged("\(path) names a file that does not stay in its folder: \(bad)")
      }
      guard Set(paths).count == paths.count, paths.contains(BackupPath.database) else {
        throw Self.damaged("\(path) has no \(BackupPath.database) of \(name), or a file twice")
      }
    }
  }

  static func damaged(_ message: String) -> CommandError {
    CommandError(code: "DAMAGED_BACKUP", message: message, exit: .damagedData)
  }
}

/// A backup on disk, as a whole.
struct StoredBackup: Sendable {
  let folder: String
  let manifest: BackupManifest

  /// Reads the manifest and compares every file with it. Throws status 65 for the first that is missing or differs.
  static func verified(_ folder: String) async throws -> StoredBackup {
    let manifest = try BackupManifest.read(folder)
    for (name, service) in manifest.services.sorted(by: { $0.key < $1.key }) {
      for file in service.files { try await check(file, "\(folder)/\(name)/\(file.path)") }
      try checkNothingElse("\(folder)/\(name)", service)
    }
    return StoredBackup(folder: folder, manifest: manifest)
  }

  private static func check(_ file: BackupManifest.File, _ path: String) async throws {
    let found: (size: UInt64, sha256: String)
    do {
      found = try await FileBytes.read(path)
    } catch let error as FileError {
      throw BackupManifest.damaged(error.description)
    }
    guard found.size == file.size else {
      throw BackupManifest.damaged("\(path) has \(found.size) bytes, not \(file.size)")
    }
    guard found.sha256 == file.sha256 else { throw BackupManifest.damaged("\(path) does not match its digest") }
  }

  /// What is not in the manifest would be restored too, unchecked.
  private static func checkNothingElse(_ folder: String, _ service: BackupManifest.Service) throws {
    let known = Set(service.files.map(\.path))
    for name in try FileManager.default.subpathsOfDirectory(atPath: folder) where !known.contains(name) {
      var isFolder: ObjCBool = false
      _ = FileManager.default.fileExists(atPath: "\(folder)/\(name)", isDirectory: &isFolder)
      guard isFolder.boolValue else { throw BackupManifest.damaged("\(folder)/\(name) is not in the manifest") }
    }
  }
}

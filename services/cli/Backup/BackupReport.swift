import Foundation

/// What `buddy backup` says at its end.
struct BackupReport {
  let folder: String
  let json: Bool

  private struct Result: Encodable {
    let folder: String
    let time: Date
    let bytes: UInt64
    let files: Int
    let services: [String: BackupManifest.Service]
  }

  func made(_ manifest: BackupManifest, in duration: Duration, _ console: Console) throws {
    let summary = Self.summary(manifest)
    try console.print(
      json ? encoded(manifest) : "\(TerminalText.line(folder)): \(summary), in \(DurationText.spoken(duration))")
  }

  func verified(_ console: Console) async throws {
    let manifest = try await StoredBackup.verified(folder).manifest
    for (name, service) in manifest.services.sorted(by: { $0.key < $1.key }) where !json {
      console.note(Self.line(name, service))
    }
    let time = manifest.time.formatted(.iso8601)
    try console.print(
      json ? encoded(manifest) : "\(TerminalText.line(folder)) of \(time) is whole: \(Self.summary(manifest))")
  }

  static func line(_ name: String, _ service: BackupManifest.Service) -> String {
    let size = SizeText.format(service.files.reduce(0) { $0 + $1.size })
    return "\(TerminalText.padded(name, to: 10))  schema \(service.schema)  \(count(service.files.count))  \(size)"
  }

  private static func summary(_ manifest: BackupManifest) -> String {
    "\(manifest.services.count) services, \(count(manifest.fileCount)), \(SizeText.format(manifest.size))"
  }

  private static func count(_ files: Int) -> String { files == 1 ? "1 file" : "\(files) files" }

  private func encoded(_ manifest: BackupManifest) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    encoder.dateEncodingStrategy = .iso8601
    let result = Result(
      folder: folder, time: manifest.time, bytes: manifest.size, files: manifest.fileCount,
      services: manifest.services)
    return String(decoding: try encoder.encode(result), as: UTF8.self)
  }
}

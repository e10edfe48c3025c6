import Crypto
import Foundation
import Messages
import RPC
import ServiceKit
import Stubs

/// One service's part of a backup: it is held, it waits for the others, its files are received and checked.
struct ServiceBackup: Sendable {
  let name: ServiceName
  let address: PeerAddress
  /// Where its files go; made here.
  let folder: String
  /// How long the service waits for the others with its writers held.
  let limit: Duration
  /// Where the service speaks TLS.
  var tls: ClientTLS?

  /// - Parameter held: Returns when all services are held.
  func run(allHeld held: @escaping @Sendable () async throws -> Void) async throws -> BackupManifest.Service {
    var options = ClientOptions()
    // Copying takes a service as long as its state is large, so silence is no error: a service that died is one.
    options.keepaliveInterval = .seconds(301)
    options.tls = tls
    let client = Client(host: address.host, port: address.port, options: options)
    do {
      let result = try await AdminClient(client).backup { writer, parts in
        try await converse(writer, parts, held)
      }
      await client.close()
      return result
    } catch {
      await client.close()
      throw explained(error)
    }
  }

  private func converse(
    _ writer: RequestWriter<BackupRequest>, _ parts: ResponseStream<BackupPart>, _ held: () async throws -> Void
  ) async throws -> BackupManifest.Service {
    try await writer.write(BackupRequest(command: .hold(HoldWrites(limit: GoogleProtobufDuration(limit)))))
    let state = try await waitUntilHeld(parts)
    guard state.service == name.rawValue else {
      throw unexpected("there answers the service \"\(state.service)\"")
    }
    try await held()
    try await writer.write(BackupRequest(command: .copy(CopyState())))
    writer.finish()
    try await FileBytes.makeFolder(folder)
    var files: [BackupManifest.File] = []
    while let part = try await Self.next(parts) {
      guard case .file(let file) = part.part else { throw unexpected("a file was to come") }
      files.append(try await receive(file, parts))
    }
    guard files.contains(where: { $0.path == BackupPath.database }) else {
      throw unexpected("no \(BackupPath.database) came")
    }
    return BackupManifest.Service(schema: Int(state.schemaVersion), files: files)
  }

  /// A service whose writer hangs must not keep the others waiting for ever.
  private func waitUntilHeld(_ parts: ResponseStream<BackupPart>) async throws -> WritesHeld {
    let first = try await withThrowingTaskGroup(of: BackupPart?.self) { group in
      group.addTask { try await Self.next(parts) }
      group.addTask {
        try await Task.sleep(for: limit)
        throw Status(.deadlineExceeded, "it did not stop writing within \(DurationText.spoken(limit))")
      }
      defer { group.cancelAll() }
      return try await group.next() ?? nil
    }
    guard case .held(let held)? = first?.part else { throw unexpected("it was not held") }
    return held
  }

  private func receive(_ file: BackupFile, _ parts: ResponseStream<BackupPart>) async throws -> BackupManifest.File {
    guard BackupPath.isSafe(file.path) else {
      throw unexpected("a file's name does not stay in its folder: \(file.path)")
    }
    let target = "\(folder)/\(file.path)"
    try await FileBytes.makeFolder(URL(fileURLWithPath: target).deletingLastPathComponent().path)
    var (hash, size, sha256) = (SHA256(), UInt64(0), "")
    try await FileBytes.write(target) {
      switch try await Self.next(parts)?.part {
      case .chunk(let bytes):
        size += UInt64(bytes.count)
        guard size <= file.size else { throw unexpected("\(file.path) is longer than announced") }
        hash.update(data: bytes)
        return bytes
      case .end(let end):
        sha256 = hash.finalize().hexadecimal
        guard size == file.size, end.sha256 == sha256 else {
          throw CommandError(
            code: "DATA_LOSS", message: "\(what): \(file.path) did not arrive as it was sent", exit: .damagedData)
        }
        return nil
      default: throw unexpected("\(file.path) ended in the middle")
      }
    }
    return BackupManifest.File(path: file.path, size: size, sha256: sha256)
  }

  private static func next(_ parts: ResponseStream<BackupPart>) async throws -> BackupPart? {
    var iterator = parts.makeAsyncIterator()
    return try await iterator.next()
  }

  // MARK: - Errors

  private var what: String { "\(name.rawValue) at \(address.settingText)" }

  private func unexpected(_ problem: String) -> CommandError { .unexpected("\(what): \(problem)") }

  private func explained(_ error: any Error) -> any Error {
    switch error {
    case let status as Status where status.code == .unimplemented:
      CommandError(code: status.code.name, message: "\(what): it makes no backups", exit: .failed)
    case let status as Status: CommandError(code: status.code.name, message: "\(what): \(status.message)")
    case let error as FileError:
      CommandError(code: "OUTPUT_FILE", message: error.description, exit: .cannotWrite)
    default: error
    }
  }
}

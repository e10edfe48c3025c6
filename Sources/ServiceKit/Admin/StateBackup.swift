import Foundation
import Logging
import Messages
import RPC
import Storage
import Synchronization

/// The service's side of a backup: hold, copy, send.
///
///     hold ──▶ writers wait, the moment is fixed ──copy──▶ writers go on; database, then files, are sent
///                          └── limit, or the caller goes ──▶ writers go on, nothing is sent
final class StateBackup: Sendable {
  /// Less than writers wait, those of other processes included (`DatabaseOptions.busyTimeout`).
  static let standardLimit = Duration.seconds(4)
  static let longestLimit = Duration.seconds(60)

  private let name: ServiceName
  private let database: Database
  private let files: StateFiles?
  /// The data folder: where `files` are, and where the copy is made before it is sent, so that a caller who reads
  /// slowly keeps only a file and not the state of an old moment open.
  private let folder: String
  private let isRunning = Atomic(false)

  init(name: ServiceName, database: Database, files: StateFiles?, folder: String) {
    self.name = name
    self.database = database
    self.files = files
    self.folder = folder
  }

  func run(_ requests: RequestStream<BackupRequest>, _ responses: ResponseWriter<BackupPart>) async throws {
    guard case .hold(let hold)? = try await Self.next(requests)?.command else {
      throw Status(.invalidArgument, "the first message must be hold")
    }
    let limit = hold.limit?.duration ?? Self.standardLimit
    guard limit > .zero, limit <= Self.longestLimit else {
      throw Status(.invalidArgument, "hold.limit must be more than nothing and at most \(Self.longestLimit)")
    }
    guard isRunning.compareExchange(expected: false, desired: true, ordering: .acquiring).exchanged else {
      throw Status(.aborted, "another backup of \(name.rawValue) is under way")
    }
    defer { isRunning.store(false, ordering: .releasing) }

    try await FileBytes.makeFolder(folder)
    try await FileBytes.onPool { [self] in removeLeftovers() }
    let copy = "\(folder)/\(prefix)\(getpid())"
    defer { unlink(copy) }
    let files = try await makeCopy(at: copy, limit: limit, requests, responses)
    try await send(copy, as: BackupPath.database, digest: nil, responses)
    for file in files { try await send("\(folder)/\(file.path)", as: file.path, digest: file.sha256, responses) }
  }

  /// What a copy's name begins with; the process's id follows.
  private var prefix: String { "\(name.rawValue).backup-" }

  /// Removes the copies of processes that were killed.
  private func removeLeftovers() {
    for name in (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? [] where name.hasPrefix(prefix) {
      guard let process = Int32(name.dropFirst(prefix.count)) else { continue }
      let isGone = kill(process, 0) != 0 && errno == ESRCH
      if isGone || process == getpid() { unlink("\(folder)/\(name)") }
    }
  }

  /// Copies the state of the moment that is held. Returns the files that belong to it.
  private func makeCopy(
    at path: String, limit: Duration, _ requests: RequestStream<BackupRequest>,
    _ responses: ResponseWriter<BackupPart>
  ) async throws -> [StateFile] {
    let snapshot = try await database.hold(limit: limit)
    do {
      let held = WritesHeld(service: name.rawValue, schemaVersion: UInt32(database.schemaVersion))
      try await responses.write(BackupPart(part: .held(held)))
      try await waitForCopy(requests, limit: limit)
      try snapshot.release()
      var files: [StateFile] = []
      if let read = self.files { files = try await snapshot.read(read) }
      try await withTaskCancellationHandler {
        try await snapshot.copy(to: path)
      } onCancel: {
        Task { await snapshot.end() }
      }
      await snapshot.end()
      return files
    } catch {
      await snapshot.end()
      throw error is HoldExpired ? Self.tooLate(limit) : error
    }
  }

  private func waitForCopy(_ requests: RequestStream<BackupRequest>, limit: Duration) async throws {
    let request = try await withThrowingTaskGroup(of: BackupRequest?.self) { group in
      group.addTask { try await Self.next(requests) }
      group.addTask {
        try await Task.sleep(for: limit)
        throw Self.tooLate(limit)
      }
      defer { group.cancelAll() }
      return try await group.next() ?? nil
    }
    guard let request else { throw Status(.cancelled, "the requests ended before copy") }
    guard case .copy = request.command else { throw Status(.invalidArgument, "after hold comes copy") }
  }

  private static func next(_ requests: RequestStream<BackupRequest>) async throws -> BackupRequest? {
    var iterator = requests.makeAsyncIterator()
    return try await iterator.next()
  }

  private static func tooLate(_ limit: Duration) -> Status {
    Status(.deadlineExceeded, "copy did not come within \(limit), and writing goes on")
  }

  /// - Parameter digest: What it has to be, if that is known.
  private func send(
    _ file: String, as path: String, digest: String?, _ responses: ResponseWriter<BackupPart>
  ) async throws {
    guard let size = try? FileManager.default.attributesOfItem(atPath: file)[.size] as? UInt64 else {
      throw Status(.dataLoss, "\(path), which belongs to the state, is missing")
    }
    try await responses.write(BackupPart(part: .file(BackupFile(path: path, size: size))))
    let (_, sha256) = try await FileBytes.read(file) { try await responses.write(BackupPart(part: .chunk($0))) }
    guard digest == nil || digest == sha256 else {
      throw Status(.dataLoss, "\(path) does not match its digest")
    }
    try await responses.write(BackupPart(part: .end(BackupFileEnd(sha256: sha256))))
  }
}

import Foundation
import NIOPosix
import RPC
import ServiceKit

/// Contents too large for the database, each a file named by its SHA-256. A file appears under its name only once it is
/// whole and durable, so what has a name is complete.
///
/// All work runs on a thread pool, since file systems block.
struct ContentFiles: Sendable {
  private let folder: String
  fileprivate let threads: NIOThreadPool

  /// Creates the folder if need be and removes what an earlier process left unfinished.
  static func open(folder: String, threads: NIOThreadPool = .singleton) async throws -> ContentFiles {
    let files = ContentFiles(folder: folder, threads: threads)
    try await threads.runIfActive {
      try FileManager.default.createDirectory(
        atPath: files.unfinished, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
      for name in try FileManager.default.contentsOfDirectory(atPath: files.unfinished) {
        try FileManager.default.removeItem(atPath: files.unfinished + "/" + name)
      }
    }
    return files
  }

  /// A new unfinished file. Call `end` on it in any case, after `keep` if it is to stay.
  func begin() async throws -> Unfinished {
    let path = unfinished + "/" + UUID().uuidString
    let descriptor = try await run { try Self.check(Glibc.open(path, O_WRONLY | O_CREAT | O_EXCL, 0o600), "create", path) }
    return Unfinished(path: path, descriptor: descriptor, files: self)
  }

  /// Up to `count` bytes from `offset` on; empty at the end.
  func read(_ sha256: String, offset: UInt64, count: Int) async throws -> [UInt8] {
    let path = path(of: sha256)
    return try await run {
      let descriptor = try Self.check(Glibc.open(path, O_RDONLY), "open", path)
      defer { Glibc.close(descriptor) }
      return try [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
        while filled < count {
          let read = pread(descriptor, buffer.baseAddress! + filled, count - filled, off_t(offset) + off_t(filled))
          if read < 0, errno == EINTR { continue }
          try Self.check(Int32(clamping: read), "read", path)
          if read == 0 { break }
          filled += read
        }
      }
    }
  }

  /// A file that is being written by one caller, one call at a time.
  struct Unfinished: Sendable {
    fileprivate let path: String
    fileprivate let descriptor: Int32
    fileprivate let files: ContentFiles

    func append(_ bytes: [UInt8]) async throws {
      try await files.run {
        var written = 0
        try bytes.withUnsafeBytes { buffer in
          while written < buffer.count {
            let count = write(descriptor, buffer.baseAddress! + written, buffer.count - written)
            if count < 0, errno == EINTR { continue }
            try ContentFiles.check(Int32(clamping: count), "write", path)
            written += count
          }
        }
      }
    }

    /// Makes the file durable under its digest.
    func keep(as sha256: String) async throws {
      let target = files.path(of: sha256)
      try await files.run {
        let folder = (target as NSString).deletingLastPathComponent
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try ContentFiles.check(fsync(descriptor), "sync", path)
        try ContentFiles.check(rename(path, target), "rename", path)
        try ContentFiles.sync(folder: folder)
        try ContentFiles.sync(folder: files.folder)
      }
    }

    /// Frees what the file holds: its descriptor, and its bytes unless they were kept. To be called once, in any case.
    /// It is done even where the task is cancelled, as that of an upload that breaks off is.
    func end() async {
      await withCheckedContinuation { continuation in
        files.threads.submit { _ in
          close(descriptor)
          unlink(path)
          continuation.resume()
        }
      }
    }
  }

  // MARK: -

  private var unfinished: String { folder + "/unfinished" }

  /// Two levels, so that no folder grows too large.
  private func path(of sha256: String) -> String { "\(folder)/\(sha256.prefix(2))/\(sha256)" }

  private func run<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await threads.runIfActive(body)
  }

  private static func sync(folder: String) throws {
    let descriptor = try check(Glibc.open(folder, O_RDONLY | O_DIRECTORY), "open", folder)
    defer { Glibc.close(descriptor) }
    try check(fsync(descriptor), "sync", folder)
  }

  @discardableResult
  private static func check(_ result: Int32, _ action: String, _ path: String) throws -> Int32 {
    guard result < 0 else { return result }
    let code = errno
    let reason = "cannot \(action) \(path): \(String(cString: strerror(code)))"
    throw [ENOSPC, EDQUOT].contains(code) ? Status.noSpaceLeft : Status(.internalError, reason)
  }
}

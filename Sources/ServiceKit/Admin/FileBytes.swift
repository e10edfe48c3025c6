import Crypto
import Foundation
import NIOPosix
public import RPC

/// Whole files, read and written on the thread pool, since file systems block.
public enum FileBytes {
  /// Bytes read at a time.
  public static let chunkSize = 256 * 1024

  /// Gives a file's bytes to `consume`, in chunks, and returns their count and their SHA-256 in lower-case hexadecimal.
  @discardableResult
  public static func read(
    _ path: String, _ consume: (_ chunk: [UInt8]) async throws -> Void = { _ in }
  ) async throws -> (size: UInt64, sha256: String) {
    let file = try await FileDescriptor.open(path, O_RDONLY | O_NOFOLLOW)
    var (hash, size) = (SHA256(), UInt64(0))
    while true {
      let chunk = try await file.read(at: size, count: chunkSize)
      if chunk.isEmpty { return (size, hash.finalize().hexadecimal) }
      hash.update(data: chunk)
      size += UInt64(chunk.count)
      try await consume(chunk)
    }
  }

  /// Writes the bytes that `next` brings until it returns nil into a new file for its owner only, durably.
  public static func write(_ path: String, _ next: () async throws -> [UInt8]?) async throws {
    let file = try await FileDescriptor.open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW)
    while let chunk = try await next() { try await file.append(chunk) }
    try await file.sync()
  }

  /// Writes a new file for its owner only, durably.
  public static func write(_ path: String, _ bytes: [UInt8]) async throws {
    let file = try await FileDescriptor.open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW)
    try await file.append(bytes)
    try await file.sync()
  }

  /// Copies a file under a name that nothing has yet, durably.
  static func copy(_ source: String, to target: String) async throws {
    let file = try await FileDescriptor.open(target, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW)
    try await read(source) { try await file.append($0) }
    try await file.sync()
  }

  /// Makes a folder, with what is missing above it, for its owner only.
  public static func makeFolder(_ path: String) async throws {
    try await onPool {
      try FileManager.default.createDirectory(
        atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    }
  }

  /// Makes the names in a folder durable.
  public static func syncFolder(_ path: String) async throws {
    try await FileDescriptor.open(path, O_RDONLY | O_DIRECTORY).sync()
  }

  static func onPool<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await NIOThreadPool.singleton.runIfActive(body)
  }
}

/// What went wrong with a file, in the system's words.
public struct FileError: Error, Sendable, Hashable, CustomStringConvertible {
  /// The system's error number.
  public let code: Int32
  public let description: String

  init(_ action: String, _ path: String, _ code: Int32) {
    self.code = code
    description = "cannot \(action) \(path): \(String(cString: strerror(code)).lowercased())"
  }
}

extension FileError: StatusConvertible {
  /// Callers are not told paths.
  public var status: Status {
    [ENOSPC, EDQUOT].contains(code)
      ? Status(.resourceExhausted, "the service has no space left") : Status(.internalError, "a file failed")
  }
}

/// An open file, closed with its last reference.
private final class FileDescriptor: Sendable {
  private let descriptor: Int32
  private let path: String

  private init(_ descriptor: Int32, _ path: String) {
    self.descriptor = descriptor
    self.path = path
  }

  deinit { close(descriptor) }

  static func open(_ path: String, _ flags: Int32) async throws -> FileDescriptor {
    try await FileBytes.onPool {
      let descriptor = Foundation.open(path, flags | O_CLOEXEC, 0o600)
      guard descriptor >= 0 else { throw FileError(flags & O_CREAT == 0 ? "open" : "create", path, errno) }
      return FileDescriptor(descriptor, path)
    }
  }

  func read(at offset: UInt64, count: Int) async throws -> [UInt8] {
    try await FileBytes.onPool { [self] in
      var bytes = [UInt8](repeating: 0, count: count)
      while true {
        let got = pread(descriptor, &bytes, count, off_t(offset))
        if got >= 0 { return got == count ? bytes : Array(bytes[..<got]) }
        if errno != EINTR { throw FileError("read", path, errno) }
      }
    }
  }

  func append(_ bytes: [UInt8]) async throws {
    try await FileBytes.onPool { [self] in
      var rest = bytes[...]
      while !rest.isEmpty {
        let count = rest.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
        if count < 0, errno != EINTR { throw FileError("write", path, errno) }
        rest = rest.dropFirst(max(0, count))
      }
    }
  }

  func sync() async throws {
    try await FileBytes.onPool { [self] in
      guard fsync(descriptor) == 0 else { throw FileError("sync", path, errno) }
    }
  }
}

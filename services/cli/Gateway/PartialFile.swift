import Crypto
import Foundation
import NIOCore
import NIOPosix
import ServiceKit

/// A file that is on its way, locked against a second writer. All its work is done on the thread pool.
final class PartialFile: Sendable {
  private let descriptor: Int32
  private let path: String
  /// Bytes that an earlier attempt has left.
  let size: UInt64

  private init(descriptor: Int32, path: String, size: UInt64) {
    self.descriptor = descriptor
    self.path = path
    self.size = size
  }

  deinit { close(descriptor) }

  /// - Parameter limit: what is longer than this cannot be a part of the whole and is dropped.
  static func open(_ path: String, limit: UInt64) async throws -> PartialFile {
    try await onPool {
      let descriptor = Foundation.open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o666)
      guard descriptor >= 0 else { throw failure("cannot write \(path)", errno) }
      guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
        let code = errno
        close(descriptor)
        throw failure("\(path) is being written by another process", code)
      }
      // Written is by offsets, so it does not matter where this leaves it.
      var size = UInt64(max(0, lseek(descriptor, 0, SEEK_END)))
      if size > limit {
        ftruncate(descriptor, 0)
        size = 0
      }
      return PartialFile(descriptor: descriptor, path: path, size: size)
    }
  }

  func write(_ bytes: ByteBuffer, at offset: UInt64) async throws {
    try await Self.onPool { [self] in
      var (view, position) = (bytes.readableBytesView, off_t(offset))
      while !view.isEmpty {
        let count = view.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, position) }
        if count < 0 {
          if errno == EINTR { continue }
          throw Self.failure("cannot write \(path)", errno)
        }
        view = view.dropFirst(count)
        position += off_t(count)
      }
    }
  }

  /// Lower-case hexadecimal SHA-256 of all that is in the file; nil if it cannot be read.
  func digest() async -> String? {
    try? await Self.onPool { [self] in
      var (hash, position) = (SHA256(), off_t(0))
      var piece = [UInt8](repeating: 0, count: 256 * 1024)
      while true {
        let count = pread(descriptor, &piece, piece.count, position)
        guard count >= 0 else { throw Self.failure("cannot read \(path)", errno) }
        if count == 0 { return hash.finalize().hexadecimal }
        hash.update(data: piece[..<count])
        position += off_t(count)
      }
    }
  }

  func remove() async throws { try await Self.onPool { [self] in _ = unlink(path) } }

  /// Gives the file its name, durably. Without `force` a file that came into being meanwhile is left alone: a link
  /// cannot replace one. Where the file system knows no links, a rename has to do.
  func publish(as name: String, force: Bool) async throws {
    try await Self.onPool { [self] in
      guard fsync(descriptor) == 0 else { throw Self.failure("cannot write \(path)", errno) }
      if !force {
        if link(path, name) == 0 {
          unlink(path)
          return
        }
        if errno == EEXIST { throw Self.failure("\(name) exists; pass --force to overwrite it", EEXIST) }
      }
      guard rename(path, name) == 0 else { throw Self.failure("cannot write \(name)", errno) }
    }
  }

  private static func onPool<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await NIOThreadPool.singleton.runIfActive(body)
  }

  private static func failure(_ what: String, _ code: Int32) -> CommandError {
    CommandError(
      code: code == EEXIST ? "FILE_EXISTS" : "OUTPUT_FILE",
      message: code == EEXIST ? what : "\(what): \(String(cString: strerror(code)).lowercased())", exit: .cannotWrite)
  }
}

import Foundation

/// An advisory lock on a file that holds the process id of whoever has it. It goes with its process, however that
/// ends; the file stays, as removing it would let two processes lock two files of one name.
struct FileLock {
  private let descriptor: Int32

  /// Throws ``StorageError/locked(path:holder:)`` where it is taken, by this process too.
  init(path: String, guarding database: String) throws {
    descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else {
      throw StorageError.cannotOpen(path: database, reason: "\(path): \(String(cString: strerror(errno)))")
    }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      let reason = errno
      let holder = Self.readHolder(descriptor)
      close(descriptor)
      guard reason == EWOULDBLOCK else {
        throw StorageError.cannotOpen(path: database, reason: "\(path): \(String(cString: strerror(reason)))")
      }
      throw StorageError.locked(path: database, holder: holder)
    }
    writeHolder()
  }

  func release() {
    ftruncate(descriptor, 0)
    close(descriptor)
  }

  private func writeHolder() {
    // Only for the message that a second process shows: the lock holds without it.
    ftruncate(descriptor, 0)
    let text = Array("\(getpid())\n".utf8)
    _ = pwrite(descriptor, text, text.count, 0)
  }

  private static func readHolder(_ descriptor: Int32) -> Int32? {
    var bytes = [UInt8](repeating: 0, count: 16)
    let count = pread(descriptor, &bytes, bytes.count, 0)
    guard count > 0 else { return nil }
    return Int32(String(decoding: bytes[..<count], as: UTF8.self).filter(\.isNumber))
  }
}

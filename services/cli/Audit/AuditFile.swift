import Foundation
import Messages
import NIOCore
import NIOPosix
import ServiceKit

/// An exported audit log: an entry a line, oldest first, locked against a second writer.
final class AuditFile: Sendable {
  private let descriptor: Int32
  private let path: String
  /// Of what the file held when it was opened.
  let chain: AuditChain

  private init(descriptor: Int32, path: String, chain: AuditChain) {
    self.descriptor = descriptor
    self.path = path
    self.chain = chain
  }

  deinit { close(descriptor) }

  /// Opens a file to append to, or makes it. A last line that was cut short is taken away; anything else that does not
  /// fit the chain is an error (status 65), and leaves the file as it is.
  static func open(_ path: String) async throws -> AuditFile {
    let descriptor = try await onPool {
      let descriptor = Foundation.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
      guard descriptor >= 0 else { throw failure(path, errno) }
      guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
        close(descriptor)
        throw CommandError(
          code: "OUTPUT_FILE", message: "\(path) is being written by another process", exit: .cannotWrite)
      }
      return descriptor
    }
    do {
      let (chain, whole) = try await read(path)
      try await onPool {
        guard ftruncate(descriptor, off_t(whole)) == 0, lseek(descriptor, off_t(whole), SEEK_SET) >= 0 else {
          throw failure(path, errno)
        }
      }
      return AuditFile(descriptor: descriptor, path: path, chain: chain)
    } catch {
      close(descriptor)
      throw error
    }
  }

  /// Computes the whole chain of a file anew. Throws status 65 with the first entry that does not fit.
  /// - Returns: the chain, and how many bytes its whole lines have.
  static func read(_ path: String) async throws -> (chain: AuditChain, bytes: Int) {
    let file = try InputFile(path: path)
    let reader = try await FileReader.open(file.path)
    var (chain, lines, total, number) = (AuditChain(), AuditLines(), 0, 0)
    while true {
      let piece = try await reader.read(upTo: FileChunks.pieceSize)
      if piece.readableBytes == 0 { return (chain, total - lines.rest.count) }
      total += piece.readableBytes
      for line in try lines.consume(piece.readableBytesView) {
        number += 1
        guard let entry = try? WireJSON.decode(AuditEntry.self, from: line) else {
          throw damaged(path, "line \(number) is no entry of an audit log")
        }
        if let problem = chain.take(entry) { throw damaged(path, "entry \(entry.number): \(problem)") }
      }
    }
  }

  static func damaged(_ path: String, _ problem: String) -> CommandError {
    CommandError(code: "DATA_LOSS", message: "\(path): \(problem)")
  }

  func append(_ bytes: [UInt8]) async throws {
    try await Self.onPool { [self] in
      var rest = bytes[...]
      while !rest.isEmpty {
        let count = rest.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
        if count < 0 {
          if errno == EINTR { continue }
          throw Self.failure(path, errno)
        }
        rest = rest.dropFirst(count)
      }
    }
  }

  /// Everything is on the disk when this returns.
  func sync() async throws {
    try await Self.onPool { [self] in
      // What is no file (a pipe, /dev/null) cannot be synced, and need not.
      guard fsync(descriptor) == 0 || errno == EINVAL else { throw Self.failure(path, errno) }
    }
  }

  private static func onPool<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await NIOThreadPool.singleton.runIfActive(body)
  }

  private static func failure(_ path: String, _ code: Int32) -> CommandError {
    CommandError(
      code: "OUTPUT_FILE", message: "cannot write \(path): \(String(cString: strerror(code)).lowercased())",
      exit: .cannotWrite)
  }
}

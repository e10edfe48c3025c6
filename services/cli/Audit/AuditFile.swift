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
      guard isRegular(path) else {
        close(descriptor)
        throw CommandError(
          code: "OUTPUT_FILE", message: "cannot write \(path): it is not a regular file", exit: .cannotWrite)
      }
      guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
        close(descriptor)
        throw CommandError(
          code: "OUTPUT_FILE", message: "\(path) is being written by another process", exit: .cannotWrite)
      }
      return descriptor
    }
    do {
      let content = try await read(path)
      try await onPool {
        let whole = off_t(content.bytes)
        guard ftruncate(descriptor, whole) == 0, lseek(descriptor, whole, SEEK_SET) >= 0 else {
          throw failure(path, errno)
        }
      }
      return AuditFile(descriptor: descriptor, path: path, chain: content.chain)
    } catch {
      close(descriptor)
      throw error
    }
  }

  /// Computes the whole chain of a file anew. Throws status 65 with the first entry that does not fit, for a last line
  /// that was cut short, and for a file without an entry: a part must not pass for the whole.
  static func verify(_ path: String) async throws -> AuditChain {
    let content = try await read(path)
    if content.cut { throw damaged(path, "line \(content.lines + 1) is cut short: it has no end") }
    if content.chain.count == 0 { throw damaged(path, "it holds no entry of an audit log") }
    return content.chain
  }

  /// What a file holds.
  struct Content: Sendable {
    var chain = AuditChain()
    /// The whole ones.
    var lines = 0
    /// Of the whole lines.
    var bytes = 0
    /// Whether something that has no end follows them.
    var cut = false
  }

  /// Follows the chain of the file's whole lines. Throws status 65 with the first entry that does not fit.
  static func read(_ path: String) async throws -> Content {
    let file = try InputFile(path: path)
    let reader = try await FileReader.open(file.path)
    var (content, lines) = (Content(), AuditLines())
    while true {
      let piece = try await reader.read(upTo: FileChunks.pieceSize)
      if piece.readableBytes == 0 {
        content.bytes -= lines.rest.count
        content.cut = !lines.rest.isEmpty
        return content
      }
      content.bytes += piece.readableBytes
      for line in try lines.consume(piece.readableBytesView) {
        content.lines += 1
        guard let entry = try? WireJSON.decode(AuditEntry.self, from: line) else {
          throw damaged(path, "line \(content.lines) is no entry of an audit log")
        }
        if let problem = content.chain.take(entry) { throw damaged(path, "entry \(entry.number): \(problem)") }
      }
    }
  }

  /// A link counts as what it leads to.
  private static func isRegular(_ path: String) -> Bool {
    let file = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
    let found = try? FileManager.default.attributesOfItem(atPath: file)
    return found?[.type] as? FileAttributeType == .typeRegular
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
      guard fsync(descriptor) == 0 else { throw Self.failure(path, errno) }
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

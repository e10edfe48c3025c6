import Crypto
import Foundation
import NIOCore
import NIOPosix
import ServiceKit
import Synchronization

/// A file's bytes in pieces, read on the thread pool, hashed on the way.
struct FileChunks: AsyncSequence, Sendable {
  typealias Element = ByteBuffer

  /// The digest of what was read so far: of nothing for an empty file, which nobody asks for a piece.
  final class Digest: Sendable {
    private let hash = Mutex(SHA256())
    /// Lower-case hexadecimal SHA-256.
    var hexadecimal: String { hash.withLock { $0.finalize().hexadecimal } }
    fileprivate func update(_ bytes: UnsafeRawBufferPointer) { hash.withLock { $0.update(bufferPointer: bytes) } }
  }

  static let pieceSize = 256 * 1024

  let path: String
  let digest = Digest()
  /// Called with the number of bytes read so far.
  let progress: @Sendable (UInt64) -> Void

  func makeAsyncIterator() -> Iterator { Iterator(path: path, digest: digest, progress: progress) }

  struct Iterator: AsyncIteratorProtocol {
    fileprivate let path: String
    fileprivate let digest: Digest
    fileprivate let progress: @Sendable (UInt64) -> Void
    private var reader: FileReader?
    private var total: UInt64 = 0

    fileprivate init(path: String, digest: Digest, progress: @escaping @Sendable (UInt64) -> Void) {
      self.path = path
      self.digest = digest
      self.progress = progress
    }

    mutating func next() async throws -> ByteBuffer? {
      if reader == nil { reader = try await FileReader.open(path) }
      guard let reader else { return nil }
      let piece = try await reader.read(upTo: FileChunks.pieceSize)
      guard piece.readableBytes > 0 else { return nil }
      piece.withUnsafeReadableBytes { digest.update($0) }
      total += UInt64(piece.readableBytes)
      progress(total)
      return piece
    }
  }
}

/// A file open for reading; closed with its last reference. One task at a time reads.
final class FileReader: Sendable {
  private let descriptor: Int32
  private let path: String

  private init(descriptor: Int32, path: String) {
    self.descriptor = descriptor
    self.path = path
  }

  deinit { close(descriptor) }

  static func open(_ path: String) async throws -> FileReader {
    try await NIOThreadPool.singleton.runIfActive {
      let descriptor = Foundation.open(path, O_RDONLY | O_CLOEXEC)
      guard descriptor >= 0 else { throw InputFile.unreadable(path, errno) }
      return FileReader(descriptor: descriptor, path: path)
    }
  }

  /// Empty at the end of the file.
  func read(upTo limit: Int) async throws -> ByteBuffer {
    try await NIOThreadPool.singleton.runIfActive { [self] in
      var buffer = ByteBufferAllocator().buffer(capacity: limit)
      while true {
        var (count, code) = (0, Int32(0))
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: limit) { space in
          count = Foundation.read(descriptor, space.baseAddress, limit)
          code = errno
          return max(0, count)
        }
        if count >= 0 { return buffer }
        if code != EINTR { throw InputFile.unreadable(path, code) }
      }
    }
  }
}

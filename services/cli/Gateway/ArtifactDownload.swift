import AsyncHTTPClient
import Crypto
import Foundation
import Messages
import NIOCore
import NIOPosix
import ServiceKit

/// Fetches an artifact's bytes: into a partial file beside the goal first, which a later attempt goes on with, and
/// under its own name only once the digest is right.
struct ArtifactDownload: Sendable {
  let gateway: GatewayClient
  let artifact: Artifact
  /// Attempts in a row that bring nothing, before giving up.
  var attempts = 4

  /// The artifact's own name, if that is one in this folder. Throws a usage error otherwise.
  static func fileName(_ artifact: Artifact) throws -> String {
    let name = artifact.name
    guard !name.isEmpty, name != ".", name != "..", !name.contains("/"), TerminalText.line(name) == name else {
      throw CommandError.usage("the artifact's name is not one for a file here; name one with --output")
    }
    return name
  }

  /// - Parameter force: whether an existing file is replaced; without it, it stays (status 73).
  func toFile(_ path: String, force: Bool) async throws {
    try refuseExisting(path, force: force)
    let partial = try await PartialFile.open("\(path).\(artifact.id.prefix(64)).part", limit: artifact.size)
    do {
      try await fetch(from: partial.size) { offset, bytes in try await partial.write(bytes, at: offset) }
      guard await partial.digest() == artifact.sha256 else { throw mismatch }
      try await partial.publish(as: path, force: force)
    } catch let error as CommandError where error.exit == .cannotWrite || error.exit == .damagedData {
      // Going on with it would end alike. After a broken connection it stays.
      try await partial.remove()
      throw error
    }
  }

  /// Bytes are passed on as they come: a wrong digest can only be told afterwards, by the exit status.
  func toOutput(_ console: Console) async throws {
    var hash = SHA256()
    do {
      try await fetch(from: 0) { _, bytes in
        bytes.withUnsafeReadableBytes { hash.update(bufferPointer: $0) }
        try console.write(.output, Array(buffer: bytes))
      }
    } catch is Console.ReaderGone {
      // `| head` has seen enough: status 0, and the rest is not fetched.
      return
    }
    guard hash.finalize().hexadecimal == artifact.sha256 else { throw mismatch }
  }

  private var mismatch: CommandError {
    CommandError(code: "DATA_LOSS", message: "what arrived of artifact \(artifact.id) does not match its SHA-256")
  }

  /// What is no file stays even with `force`: nothing can take a folder's place, and nothing should a device's.
  private func refuseExisting(_ path: String, force: Bool) throws {
    guard let found = try? FileManager.default.attributesOfItem(atPath: path) else { return }
    let kind = found[.type] as? FileAttributeType
    if force, kind != .typeRegular, kind != .typeSymbolicLink {
      throw CommandError(
        code: "OUTPUT_FILE", message: "cannot write \(path): it is not a regular file", exit: .cannotWrite)
    }
    if !force {
      throw CommandError(
        code: "FILE_EXISTS", message: "\(path) exists; pass --force to overwrite it", exit: .cannotWrite)
    }
  }

  /// Hands over all bytes from `start` on, in order, each once, going on after broken connections.
  private func fetch(from start: UInt64, _ take: (UInt64, ByteBuffer) async throws -> Void) async throws {
    var (offset, failures) = (start, 0)
    while offset < artifact.size {
      let known = offset
      do {
        let (body, resumed) = try await gateway.content(artifact.id, from: offset)
        // A gateway that does not know ranges begins anew: what is there already is passed over.
        var skip = resumed ? 0 : offset
        var bytes = body.makeAsyncIterator()
        while var piece = try await gateway.translated({ try await bytes.next() }) {
          let skipped = min(skip, UInt64(piece.readableBytes))
          piece.moveReaderIndex(forwardBy: Int(skipped))
          skip -= skipped
          guard offset + UInt64(piece.readableBytes) <= artifact.size else { throw mismatch }
          try await take(offset, piece)
          offset += UInt64(piece.readableBytes)
        }
        if offset < artifact.size { throw CommandError.unreachable(gateway.address.description, "it broke off") }
      } catch let error as CommandError where error.exit == .unavailable {
        failures = offset > known ? 0 : failures + 1
        if failures >= attempts { throw error }
        try await Task.sleep(for: .milliseconds(200 * (failures + 1)))
      }
    }
  }
}

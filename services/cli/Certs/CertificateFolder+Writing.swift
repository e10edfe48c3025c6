import Foundation
import RPC
import ServiceKit

/// Files are written whole or not at all, so that services which run with them never see half of one; keys can be read
/// by their owner alone.
extension CertificateFolder {
  /// Makes the folder where it is not there.
  func make() throws {
    if let problem = NewFolder.make(path) {
      throw CommandError(
        code: "OUTPUT_FILE", message: "cannot make the folder \(path): \(problem)", exit: .cannotWrite)
    }
  }

  /// Runs `body` while no other command writes here; waits for one that does. The folder must be there.
  func locked<Result>(_ body: () throws -> Result) throws -> Result {
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw Self.failure(path, errno) }
    defer { close(descriptor) }
    while flock(descriptor, LOCK_EX) != 0 {
      guard errno == EINTR else { throw Self.failure(path, errno) }
    }
    return try body()
  }

  /// Takes the authority's key away from others than its owner.
  /// - Returns: Whether that was needed.
  func closeAuthorityKey() throws -> Bool {
    guard folder.exposedKey(Self.authority) != nil else { return false }
    let key = folder.certificate(Self.authority).key
    guard chmod(key, 0o600) == 0 else { throw Self.failure(key, errno) }
    return true
  }

  /// Writes all of them, in place of what is there, or none.
  ///
  /// All are on the disk beside their places before the first takes its own, so a full disk changes nothing. Who dies
  /// between two renames leaves a new certificate with the old key, or some pairs new and some old: services go on with
  /// what they had, `buddy certs show` tells of it, and the same command once more makes all anew. What is left beside
  /// the places then is removed too.
  func write(_ all: [(name: String, issued: CertificateAuthority.Issued)]) throws {
    let files = all.flatMap { name, issued -> [NewFile] in
      let files = folder.certificate(name)
      return [
        NewFile(path: files.chain, text: issued.certificate, mode: 0o644),
        NewFile(path: files.key, text: issued.key, mode: 0o600),
      ]
    }
    for file in files where !file.canTakeItsPlace {
      throw CommandError(
        code: "OUTPUT_FILE", message: "cannot write \(file.path): what is there is no regular file", exit: .cannotWrite)
    }
    defer { for file in files { unlink(file.partial) } }
    for file in files {
      if let problem = file.writePartial() { throw Self.failure(file.path, problem) }
    }
    for file in files where rename(file.partial, file.path) != 0 { throw Self.failure(file.path, errno) }
  }

  private static func failure(_ path: String, _ code: Int32) -> CommandError {
    CommandError(
      code: "OUTPUT_FILE", message: "cannot write \(path): \(String(cString: strerror(code)).lowercased())",
      exit: .cannotWrite)
  }
}

/// A file on its way to its place. Only one command at a time writes in a folder.
private struct NewFile {
  let path: String
  let text: String
  let mode: mode_t

  var partial: String { "\(path).partial" }

  /// Nothing is there, or a file, or a link, which is replaced itself.
  var canTakeItsPlace: Bool {
    [nil, .regular, .link].contains(FileStatus(path: path, followsLinks: false)?.kind)
  }

  /// - Returns: The error's number; nil where all of it is on the disk.
  func writePartial() -> Int32? {
    // One that was interrupted may have left it, with other permissions.
    unlink(partial)
    let descriptor = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
    guard descriptor >= 0 else { return errno }
    defer { close(descriptor) }
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { return errno }
      rest = rest.dropFirst(count)
    }
    return fsync(descriptor) == 0 ? nil : errno
  }
}

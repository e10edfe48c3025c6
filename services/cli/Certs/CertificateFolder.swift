import Foundation
import ServiceKit
import SwiftASN1
import X509

/// A folder of certificates on disk. Files are written whole or not at all, so that services which run with them never
/// see half of one; keys can be read by their owner alone.
struct CertificateFolder {
  static let authority = "ca"

  let folder: TLSFolder

  init(_ path: String) { folder = TLSFolder(URL(fileURLWithPath: path).standardizedFileURL.path) }

  var path: String { folder.path }

  private func certificate(_ name: String) -> String { "\(path)/\(name).crt" }
  private func key(_ name: String) -> String { "\(path)/\(name).key" }

  /// Everything that has a certificate here but the authority, sorted.
  var names: [String] {
    let files = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    return files.filter { $0.hasSuffix(".crt") }.map { String($0.dropLast(4)) }.filter { $0 != Self.authority }.sorted()
  }

  func has(_ name: String) -> Bool {
    [certificate(name), key(name)].contains { FileManager.default.fileExists(atPath: $0) }
  }

  // MARK: - Reading

  /// Throws status 66 where there is none.
  func read(_ name: String) throws -> Certificate {
    let path = certificate(name)
    do {
      return try Certificate(pemEncoded: text(path))
    } catch let error as CommandError {
      throw error
    } catch {
      throw damaged("\(path) is no certificate in PEM form")
    }
  }

  /// Throws for a certificate and a key that do not belong together, and for an authority that has expired.
  func readAuthority() throws -> CertificateAuthority {
    let (certificate, key) = (certificate(Self.authority), key(Self.authority))
    let texts = (try text(certificate), try text(key))
    let authority: CertificateAuthority
    do {
      authority = try CertificateAuthority(certificate: texts.0, key: texts.1)
    } catch is CertificateAuthority.WrongKey {
      throw damaged("\(key) is not the key of \(certificate): what it signs, nobody would take; \(Self.restart)")
    } catch {
      throw damaged("\(certificate) and \(key) are not what `buddy certs init` writes; \(Self.restart)")
    }
    guard authority.isValid() else { throw damaged("\(certificate) is not valid now; \(Self.restart)") }
    return authority
  }

  /// What helps where an authority cannot go on.
  private static let restart = "bring the right file back, or begin anew with `buddy certs init --force` or in another "
    + "folder: every service then needs its new files and the new ca.crt"

  private func damaged(_ message: String) -> CommandError {
    CommandError(code: "CERTIFICATES", message: message, exit: .damagedData)
  }

  /// Nil where it is not there.
  func keyText(_ name: String) throws -> String? {
    FileManager.default.fileExists(atPath: key(name)) ? try text(key(name)) : nil
  }

  private func text(_ path: String) throws -> String {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw unreadable(path, errno) }
    let file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    var isFolder: ObjCBool = false
    if FileManager.default.fileExists(atPath: path, isDirectory: &isFolder), isFolder.boolValue {
      throw unreadable(path, EISDIR)
    }
    guard let data = try? file.readToEnd() ?? Data() else { throw unreadable(path, EIO) }
    return String(decoding: data, as: UTF8.self)
  }

  private func unreadable(_ path: String, _ code: Int32) -> CommandError {
    let reason = "cannot read \(path): \(String(cString: strerror(code)).lowercased())"
    switch code {
    case ENOENT where names.isEmpty && !has(Self.authority):
      return CommandError(
        code: "CERTIFICATES", message: "\(reason); make certificates with `buddy certs init`", exit: .notFound)
    case ENOENT where [certificate(Self.authority), key(Self.authority)].contains(path):
      return CommandError(
        code: "CERTIFICATES", message: "\(reason), and without it no certificate is made; \(Self.restart)",
        exit: .notFound)
    case EACCES, EPERM: return CommandError(code: "CERTIFICATES", message: reason, exit: .noPermission)
    default: return CommandError(code: "CERTIFICATES", message: reason, exit: .notFound)
    }
  }

  // MARK: - Writing

  func make() throws {
    do {
      try FileManager.default.createDirectory(
        atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
    } catch {
      throw CommandError(code: "OUTPUT_FILE", message: "cannot make the folder \(path)", exit: .cannotWrite)
    }
  }

  /// Runs `body` while no other command writes here; waits for one that does. The folder must be there.
  func locked<Result>(_ body: () throws -> Result) throws -> Result {
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw Self.failure(path) }
    defer { close(descriptor) }
    while flock(descriptor, LOCK_EX) != 0 {
      guard errno == EINTR else { throw Self.failure(path) }
    }
    return try body()
  }

  /// Takes the authority's key away from others than its owner.
  /// - Returns: Whether that was needed.
  func closeAuthorityKey() throws -> Bool {
    guard folder.exposedKey(Self.authority) != nil else { return false }
    guard chmod(key(Self.authority), 0o600) == 0 else { throw Self.failure(key(Self.authority)) }
    return true
  }

  /// The key first: whoever looks in between sees a pair that does not fit, and goes on with what it had.
  func write(_ issued: CertificateAuthority.Issued, as name: String) throws {
    try write(issued.key, to: key(name), mode: 0o600)
    try write(issued.certificate, to: certificate(name), mode: 0o644)
  }

  private func write(_ text: String, to path: String, mode: mode_t) throws {
    let partial = "\(path).\(getpid()).partial"
    let descriptor = open(partial, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
    guard descriptor >= 0 else { throw Self.failure(path) }
    let file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    do {
      try file.write(contentsOf: Data(text.utf8))
      try file.synchronize()
      try file.close()
    } catch {
      unlink(partial)
      throw Self.failure(path)
    }
    guard rename(partial, path) == 0 else {
      unlink(partial)
      throw Self.failure(path)
    }
  }

  private static func failure(_ path: String) -> CommandError {
    CommandError(
      code: "OUTPUT_FILE", message: "cannot write \(path): \(String(cString: strerror(errno)).lowercased())",
      exit: .cannotWrite)
  }
}

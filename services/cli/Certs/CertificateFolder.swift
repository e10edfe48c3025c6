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
      throw CommandError(code: "CERTIFICATES", message: "\(path) is no certificate in PEM form", exit: .damagedData)
    }
  }

  func readAuthority() throws -> CertificateAuthority {
    let (certificate, key) = (certificate(Self.authority), key(Self.authority))
    let texts = (try text(certificate), try text(key))
    do {
      return try CertificateAuthority(certificate: texts.0, key: texts.1)
    } catch {
      throw CommandError(
        code: "CERTIFICATES", message: "\(certificate) and \(key) are not what `buddy certs init` writes",
        exit: .damagedData)
    }
  }

  private func text(_ path: String) throws -> String {
    guard let data = FileManager.default.contents(atPath: path) else {
      throw CommandError(
        code: "CERTIFICATES", message: "cannot read \(path); make certificates with `buddy certs init`",
        exit: .notFound)
    }
    return String(decoding: data, as: UTF8.self)
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

import Foundation
import RPC
import ServiceKit
import SwiftASN1
import X509

/// A folder of certificates on disk, and what is in it. What writes there is in an extension.
struct CertificateFolder {
  static let authority = TLSFolder.authorityName

  let folder: TLSFolder

  init(_ path: String) { folder = TLSFolder(URL(fileURLWithPath: path).standardizedFileURL.path) }

  var path: String { folder.path }

  private func certificate(_ name: String) -> String { folder.certificate(name).chain }
  private func key(_ name: String) -> String { folder.certificate(name).key }

  /// Everything that has a certificate here but the authority, sorted; not only Buddy's.
  var names: [String] {
    let files = (try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []
    return files.filter { $0.hasSuffix(".crt") }.map { String($0.dropLast(4)) }.filter { $0 != Self.authority }.sorted()
  }

  func has(_ name: String) -> Bool { [certificate(name), key(name)].contains(where: Self.exists) }

  func hasCertificate(_ name: String) -> Bool { Self.exists(certificate(name)) }

  private static func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

  // MARK: - What may be replaced

  /// Whose a name's files are.
  enum Owner: Hashable {
    case nobody
    /// This authority signed the certificate.
    case ours(Certificate)
    /// The beginning of a certificate, with which nobody can do anything.
    case remains
    /// What must not be replaced, and why.
    case others(String)
  }

  func owner(of name: String, _ authority: Certificate) throws -> Owner {
    let (certificate, key) = (certificate(name), key(name))
    for path in [certificate, key] where ![nil, .regular].contains(FileStatus(path: path)?.kind) {
      return .others("\(path) is no regular file")
    }
    guard Self.exists(certificate) else {
      return Self.exists(key) ? .others("\(key) is a key without a certificate, so nobody knows whose") : .nobody
    }
    let text = try text(certificate)
    if let found = try? Certificate(pemEncoded: text) {
      return found.isSigned(by: authority) ? .ours(found) : .others("\(certificate) is not of this authority")
    }
    // Several certificates in one file, or another form, are somebody's, though not ours.
    return Self.isBeginning(text) ? .remains : .others("\(certificate) is nothing that `buddy certs` writes")
  }

  private static func isBeginning(_ text: String) -> Bool {
    let first = "-----BEGIN CERTIFICATE-----"
    return first.hasPrefix(text) || (text.hasPrefix(first) && !text.contains("-----END"))
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
  func keyText(_ name: String) throws -> String? { Self.exists(key(name)) ? try text(key(name)) : nil }

  private func text(_ path: String) throws -> String {
    // A pipe that nobody writes would hold up an open that waits.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw unreadable(path, errno) }
    let file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    switch FileStatus(descriptor: descriptor)?.kind {
    case .regular: break
    case .folder: throw unreadable(path, EISDIR)
    default: throw CommandError(code: "CERTIFICATES", message: "\(path) is no regular file", exit: .notFound)
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
}

extension Certificate {
  /// It is one that the authority made for somebody else than itself.
  func isSigned(by authority: Certificate) -> Bool {
    self != authority && issuer == authority.subject && authority.publicKey.isValidSignature(signature, for: self)
  }
}

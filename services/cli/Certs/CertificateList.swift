import Foundation
import ServiceKit
import SwiftASN1
import X509

/// Certificates as a table: whether each can be used, until when, and who it is for.
enum CertificateList {
  /// Throws ``SilentExit`` with status 1 after it where one cannot be used.
  static func show(_ folder: CertificateFolder, _ names: [String], _ console: Console) throws {
    let authority = try folder.read(CertificateFolder.authority)
    var table = Table(
      ("NAME", .left), ("STATE", .left), ("VALID UNTIL", .left), ("DAYS", .right), ("SERIAL", .left), ("SAYS", .left))
    var isEveryOneFine = true
    for name in names {
      guard let certificate = try? folder.read(name) else {
        table.add(name, folder.hasCertificate(name) ? "DAMAGED" : "NO CERTIFICATE", "-", "-", "-", "-")
        isEveryOneFine = false
        continue
      }
      // A day that has begun counts, so that a new certificate of 365 days has 365.
      let days = max(0, Int((certificate.notValidAfter.timeIntervalSinceNow / 86_400).rounded(.up)))
      let says = try? certificate.extensions.subjectAlternativeNames.map { $0.map(text).joined(separator: " ") }
      let problems = problems(of: certificate, name, authority, folder)
      if !problems.isEmpty { isEveryOneFine = false }
      table.add(
        name, problems.isEmpty ? "ok" : problems.joined(separator: ", "),
        certificate.notValidAfter.formatted(.iso8601), String(days), serial(certificate), says ?? "authority")
    }
    let columns = console.isOutputTerminal ? console.columns() : nil
    try console.print(table.lines(columns: columns).joined(separator: "\n"))
    if !isEveryOneFine { throw SilentExit(reason: .failed) }
  }

  /// Why services could not use it; empty where they can.
  static func problems(
    of certificate: Certificate, _ name: String, _ authority: Certificate, _ folder: CertificateFolder
  ) -> [String] {
    var problems: [String] = []
    if certificate.notValidAfter < .now { problems.append("EXPIRED") }
    if certificate.notValidBefore > .now { problems.append("NOT VALID YET") }
    if name != CertificateFolder.authority {
      if !certificate.isSigned(by: authority) { problems.append("WRONG CA") }
      if !certificate.says(TLSFolder.id(name)) { problems.append("WRONG ID") }
    }
    do {
      if let text = try folder.keyText(name) {
        let key = try? Certificate.PrivateKey(pemEncoded: text)
        if key == nil { problems.append("DAMAGED KEY") }
        if let key, key.publicKey != certificate.publicKey { problems.append("WRONG KEY") }
        if folder.folder.exposedKey(name) != nil { problems.append("KEY OPEN TO OTHERS") }
      } else if name != CertificateFolder.authority {
        // The authority's is better kept elsewhere.
        problems.append("NO KEY")
      }
    } catch {
      problems.append("KEY NOT READABLE")
    }
    return problems
  }

  private static func serial(_ certificate: Certificate) -> String {
    Array(certificate.serialNumber.bytes).hexadecimal
  }

  private static func text(_ name: GeneralName) -> String {
    switch name {
    case .uniformResourceIdentifier(let uri): uri
    case .dnsName(let name): name
    case .ipAddress(let address): addressText(Array(address.bytes))
    default: "\(name)"
    }
  }

  private static func addressText(_ bytes: [UInt8]) -> String {
    var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
    let family = bytes.count == 4 ? AF_INET : AF_INET6
    guard bytes.count == 4 || bytes.count == 16, inet_ntop(family, bytes, &text, socklen_t(text.count)) != nil else {
      return bytes.hexadecimal
    }
    return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
  }
}

extension Certificate {
  /// Its only URI is this.
  func says(_ id: String) -> Bool {
    let names = (try? extensions.subjectAlternativeNames) ?? SubjectAlternativeNames()
    let uris = names.compactMap { if case .uniformResourceIdentifier(let uri) = $0 { uri } else { nil } }
    return uris == [id]
  }
}

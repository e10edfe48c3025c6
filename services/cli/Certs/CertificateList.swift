import Foundation
import ServiceKit
import SwiftASN1
import X509

/// Certificates as a table: until when each is valid, and who it is for.
enum CertificateList {
  static func show(_ folder: CertificateFolder, _ names: [String], _ console: Console) throws {
    var table = Table(("NAME", .left), ("VALID UNTIL", .left), ("DAYS", .right), ("SERIAL", .left), ("SAYS", .left))
    for name in names {
      let certificate = try folder.read(name)
      let days = Int((certificate.notValidAfter.timeIntervalSinceNow / 86_400).rounded(.down))
      let says = try certificate.extensions.subjectAlternativeNames.map { $0.map(text).joined(separator: " ") }
      table.add(
        name, certificate.notValidAfter.formatted(.iso8601), String(days), serial(certificate), says ?? "authority")
    }
    let columns = console.isOutputTerminal ? console.columns() : nil
    try console.print(table.lines(columns: columns).joined(separator: "\n"))
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

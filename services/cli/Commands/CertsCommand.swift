import ArgumentParser
import Foundation
import RPC
import ServiceKit
import X509

/// `buddy certs …`.
struct CertsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "certs", abstract: "Makes the certificates with which services know and encrypt for each other.",
    discussion: """
      `init` makes a private certificate authority and one certificate for each service; `buddy up --tls-folder F` and \
      each service's own --tls-folder use them. On another machine a service needs ca.crt and its own two files. Keep \
      ca.key away from where services run: who has it can be any of them. Each of these commands lists what it made or \
      found, and ends with status 1 where a certificate or key in that list cannot be used.

      \(ExitReason.table)
      """,
    subcommands: [Init.self, Renew.self, Show.self])

  /// Every name that gets a certificate.
  static let services = ServiceName.allCases.map(\.rawValue) + [TLSFolder.command]

  static func standardFolder() -> String { "\(standardDataFolder())/tls" }

  struct FolderOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Where the files are (default: tls in the data folder of `buddy up`).",
      valueName: "folder"))
    var folder: String?

    func validate() throws {
      if folder?.isEmpty == true { throw ValidationError("--folder is empty") }
    }

    var resolved: CertificateFolder { CertificateFolder(folder ?? CertsCommand.standardFolder()) }
  }

  struct LeafOptions: ParsableArguments {
    @Option(help: ArgumentHelp("How many days the services' certificates are valid, 1 to 3650.", valueName: "number"))
    var days = 365

    @Option(name: .long, parsing: .singleValue,
      help: ArgumentHelp("A service to make one for (default: all, and the command's own, cli); several times.",
        valueName: "name"))
    var service: [String] = []

    /// Nil: not said.
    var chosen: [String]? { service.isEmpty ? nil : service.withoutRepetitions }

    func validate() throws {
      guard (1...CertificateAuthority.validDays).contains(days) else {
        throw ValidationError("--days must be from 1 to \(CertificateAuthority.validDays)")
      }
      for name in service where !CertsCommand.services.contains(name) {
        throw ValidationError("--service \(name) is none of \(CertsCommand.services.joined(separator: ", "))")
      }
    }
  }

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Lists the certificates and until when they are valid; status 1 where one cannot be used.")

    @OptionGroup var folder: FolderOptions

    func run() async throws {
      let folder = folder.resolved
      let console = Console.system()
      let authority = try folder.read(CertificateFolder.authority)
      // Files without a certificate are the services' too.
      let known = CertsCommand.services.filter(folder.has)
      let others = folder.names.filter { !known.contains($0) }
      let ours = others.filter { (try? folder.read($0))?.isSigned(by: authority) == true }
      let strangers = others.filter { !ours.contains($0) }.map { "\($0).crt" }.joined(separator: ", ")
      if !strangers.isEmpty {
        console.note(TerminalText.line("not of this authority and no service's by name: \(strangers)"))
      }
      try CertificateList.show(folder, [CertificateFolder.authority] + (known + ours).sorted(), console)
    }
  }
}

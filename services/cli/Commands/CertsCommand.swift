import ArgumentParser
import Foundation
import ServiceKit
import X509

/// `buddy certs …`.
struct CertsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "certs", abstract: "Makes the certificates with which services know and encrypt for each other.",
    discussion: """
      `init` makes a private certificate authority and one certificate for each service; `buddy up --tls-folder F` and \
      each service's own --tls-folder use them. On another machine a service needs ca.crt and its own two files. Keep \
      ca.key away from where services run: who has it can be any of them.

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

    func validate() throws {
      guard (1...CertificateAuthority.validDays).contains(days) else {
        throw ValidationError("--days must be from 1 to \(CertificateAuthority.validDays)")
      }
      for name in service where !CertsCommand.services.contains(name) {
        throw ValidationError("--service \(name) is none of \(CertsCommand.services.joined(separator: ", "))")
      }
    }
  }

  struct Init: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Makes an authority and a certificate for each service.")

    @OptionGroup var folder: FolderOptions
    @OptionGroup var leaves: LeafOptions

    @Option(name: .long, parsing: .singleValue,
      help: ArgumentHelp("A name that services are reached by beside localhost; several times.", valueName: "host"))
    var name: [String] = []

    @Option(name: .long, parsing: .singleValue,
      help: ArgumentHelp("An IP address beside 127.0.0.1 and ::1; several times.", valueName: "address"))
    var address: [String] = []

    @Flag(help: "Replace an authority and certificates that are there; what they secure needs the new ones too.")
    var force = false

    func validate() throws {
      for text in address where SubjectAlternativeNames.bytes(text) == nil {
        throw ValidationError("--address \(text) is no IP address; a name is given with --name")
      }
      for text in name where text.isEmpty || !text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) {
        throw ValidationError("--name \(text) is no name of a host")
      }
    }

    func run() async throws {
      let folder = folder.resolved
      let services = leaves.service.isEmpty ? CertsCommand.services : leaves.service
      let present = ([CertificateFolder.authority] + services).filter(folder.has)
      guard force || present.isEmpty else {
        throw CommandError(
          code: "ALREADY_EXISTS",
          message: "\(folder.path) has certificates already (\(present.joined(separator: ", "))); new ones of the same "
            + "authority are made by `buddy certs renew`, and --force replaces everything",
          exit: .cannotWrite)
      }
      try folder.make()
      let authority = try CertificateAuthority(name: "Buddy CA \(Identifier.make().prefix(8))")
      try folder.write(authority.files, as: CertificateFolder.authority)
      for service in services {
        let names = SubjectAlternativeNames(spiffe: TLSFolder.id(service), names: name, addresses: address)
        try folder.write(authority.issue(service, names: names, days: leaves.days), as: service)
      }
      let console = Console.system()
      try CertificateList.show(folder, [CertificateFolder.authority] + services, console)
      console.note("in \(TerminalText.line(folder.path)); use them with `buddy up --tls-folder`")
    }
  }

  struct Renew: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Replaces services' certificates by new ones of the same authority; running services take them over.")

    @OptionGroup var folder: FolderOptions
    @OptionGroup var leaves: LeafOptions

    func run() async throws {
      let folder = folder.resolved
      let authority = try folder.readAuthority()
      let services = leaves.service.isEmpty ? folder.names : leaves.service
      for service in services {
        // The names stay; a service that had none yet gets the usual ones.
        let old = folder.has(service) ? try folder.read(service).extensions.subjectAlternativeNames : nil
        let names = old ?? SubjectAlternativeNames(spiffe: TLSFolder.id(service), names: [], addresses: [])
        try folder.write(authority.issue(service, names: names, days: leaves.days), as: service)
      }
      try CertificateList.show(folder, services, Console.system())
    }
  }

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists the certificates and until when they are valid.")

    @OptionGroup var folder: FolderOptions

    func run() async throws {
      let folder = folder.resolved
      try CertificateList.show(folder, [CertificateFolder.authority] + folder.names, Console.system())
    }
  }
}

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
      for text in address where IPAddress.bytes(text) == nil {
        throw ValidationError("--address \(text) is no IP address; a name is given with --name")
      }
      for text in name where text.isEmpty || !text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) {
        throw ValidationError("--name \(text) is no name of a host")
      }
    }

    func run() async throws {
      let folder = folder.resolved
      let services = leaves.chosen ?? CertsCommand.services
      try folder.make()
      try folder.locked { try make(services, in: folder) }
      let console = Console.system()
      try CertificateList.show(folder, [CertificateFolder.authority] + services, console)
      console.note("in \(TerminalText.line(folder.path)); use them with `buddy up --tls-folder`")
    }

    private func make(_ services: [String], in folder: CertificateFolder) throws {
      let present = ([CertificateFolder.authority] + services).filter(folder.has)
      guard force || present.isEmpty else {
        throw CommandError(
          code: "ALREADY_EXISTS",
          message: "\(folder.path) has certificates already (\(present.joined(separator: ", "))); new ones of the same "
            + "authority are made by `buddy certs renew`, and --force replaces everything: services that use the old "
            + "ones then need the new files too",
          exit: .cannotWrite)
      }
      let authority = try CertificateAuthority(name: "Buddy CA \(Identifier.make().prefix(8))")
      try folder.write(authority.files, as: CertificateFolder.authority)
      for service in services {
        let names = SubjectAlternativeNames(spiffe: TLSFolder.id(service), names: name, addresses: address)
        try folder.write(authority.issue(service, names: names, days: leaves.days), as: service)
      }
    }
  }

  struct Renew: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Replaces services' certificates by new ones of the same authority; running services take them over.")

    @OptionGroup var folder: FolderOptions
    @OptionGroup var leaves: LeafOptions

    func run() async throws {
      let folder = folder.resolved
      let console = Console.system()
      let services = leaves.chosen ?? folder.names
      // In a folder that is not there nothing can be in the way, and reading says so.
      let isThere = FileManager.default.fileExists(atPath: folder.path)
      if isThere {
        try folder.locked { try renew(services, in: folder, console) }
      } else {
        _ = try folder.readAuthority()
      }
      try CertificateList.show(folder, services, console)
    }

    private func renew(_ services: [String], in folder: CertificateFolder, _ console: Console) throws {
      let authority = try folder.readAuthority()
      if try folder.closeAuthorityKey() {
        console.note("others could read ca.key; it is its owner's alone again, but who has read it can be any service")
      }
      for service in services {
        let names = names(of: service, in: folder, console)
        try folder.write(authority.issue(service, names: names, days: leaves.days), as: service)
      }
    }

    /// The names stay. A service that had none yet, or whose certificate is damaged or another's, gets the usual ones.
    private func names(
      of service: String, in folder: CertificateFolder, _ console: Console
    ) -> SubjectAlternativeNames {
      let old = try? folder.read(service)
      if let old, old.says(TLSFolder.id(service)), let names = try? old.extensions.subjectAlternativeNames {
        return names
      }
      if folder.has(service) {
        console.note("what \(service) had was not its certificate; the new one has the usual names alone")
      }
      return SubjectAlternativeNames(spiffe: TLSFolder.id(service), names: [], addresses: [])
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

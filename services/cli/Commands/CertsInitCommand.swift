import ArgumentParser
import Foundation
import RPC
import ServiceKit
import X509

extension CertsCommand {
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

    @Flag(help: "Replace an authority and all certificates that are there; what they secure needs the new ones too.")
    var force = false

    func validate() throws {
      for text in address where IPAddress.bytes(text) == nil {
        throw ValidationError("--address \(text) is no IP address; a name is given with --name")
      }
      for text in name {
        if let problem = HostName.problem(text) { throw ValidationError("--name \(text) \(problem)") }
      }
    }

    func run() async throws {
      let folder = folder.resolved
      let services = leaves.chosen ?? CertsCommand.services
      let console = Console.system()
      try folder.make()
      let orphans = try folder.locked { try make(services, in: folder) }
      if !orphans.isEmpty {
        let names = orphans.joined(separator: ", ")
        console.note(TerminalText.line("the authority of \(names) is replaced: nobody takes them any more"))
      }
      try CertificateList.show(folder, [CertificateFolder.authority] + services, console)
      console.note("in \(TerminalText.line(folder.path)); use them with `buddy up --tls-folder`")
    }

    /// - Returns: Files of names that are no service's whose authority this replaced.
    private func make(_ services: [String], in folder: CertificateFolder) throws -> [String] {
      try refuse(services, in: folder)
      let old = try? folder.read(CertificateFolder.authority)
      let orphans = folder.names.filter { name in
        !services.contains(name) && old.map { (try? folder.read(name))?.isSigned(by: $0) == true } == true
      }
      let authority = try CertificateAuthority(name: "Buddy CA \(Identifier.make().prefix(8))")
      let issued = try services.map { service in
        let names = SubjectAlternativeNames(spiffe: TLSFolder.id(service), names: name, addresses: address)
        return (name: service, issued: try authority.issue(service, names: names, days: leaves.days))
      }
      try folder.write([(name: CertificateFolder.authority, issued: authority.files)] + issued)
      return orphans.map { "\($0).crt" }
    }

    /// Throws where something is in the way of a new authority.
    private func refuse(_ services: [String], in folder: CertificateFolder) throws {
      let present = ([CertificateFolder.authority] + services).filter(folder.has)
      guard force || present.isEmpty else {
        throw CommandError(
          code: "ALREADY_EXISTS",
          message: "\(folder.path) has certificates already (\(present.joined(separator: ", "))); new ones of the same "
            + "authority are made by `buddy certs renew`, and --force replaces everything: services that use the old "
            + "ones then need the new files too",
          exit: .cannotWrite)
      }
      let left = CertsCommand.services.filter { !services.contains($0) && folder.has($0) }
      guard left.isEmpty else {
        throw CommandError(
          code: "ALREADY_EXISTS",
          message: "with a new authority, what \(folder.path) has for \(left.joined(separator: ", ")) would no longer "
            + "work: leave --service out to make all anew, or name these too; one service's certificate alone is made "
            + "anew by `buddy certs renew --service`",
          exit: .cannotWrite)
      }
    }
  }
}

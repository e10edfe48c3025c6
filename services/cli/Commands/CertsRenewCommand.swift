import ArgumentParser
import Foundation
import ServiceKit
import X509

extension CertsCommand {
  struct Renew: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Replaces services' certificates by new ones of the same authority; running services take them over.",
      discussion: """
        Without --service, of all services that have one. What another authority signed is not replaced, nor a key \
        beside it, nor anything of another name.
        """)

    @OptionGroup var folder: FolderOptions
    @OptionGroup var leaves: LeafOptions

    func run() async throws {
      let folder = folder.resolved
      let console = Console.system()
      // In a folder that is not there nothing can be in the way, and reading says so.
      guard FileManager.default.fileExists(atPath: folder.path) else {
        _ = try folder.readAuthority()
        return
      }
      let services = try folder.locked { try renew(in: folder, console) }
      if services.isEmpty { console.note("no service has a certificate here; --service makes one") }
      try CertificateList.show(folder, services, console)
    }

    /// - Returns: Whose were to be renewed.
    private func renew(in folder: CertificateFolder, _ console: Console) throws -> [String] {
      let authority = try folder.readAuthority()
      if try folder.closeAuthorityKey() {
        console.note("others could read ca.key; it is its owner's alone again, but who has read it can be any service")
      }
      let services = leaves.chosen ?? CertsCommand.services.filter(folder.has)
      let issued = try services.compactMap { service in
        try names(of: service, in: folder, authority, console).map { names in
          (name: service, issued: try authority.issue(service, names: names, days: leaves.days))
        }
      }
      try folder.write(issued)
      return services
    }

    /// The names stay. A service that had none yet, or whose certificate is damaged or of another service, gets the
    /// usual ones. Nil for what must be left alone, which is said.
    private func names(
      of service: String, in folder: CertificateFolder, _ authority: CertificateAuthority, _ console: Console
    ) throws -> SubjectAlternativeNames? {
      let usual = SubjectAlternativeNames(spiffe: TLSFolder.id(service), names: [], addresses: [])
      switch try folder.owner(of: service, authority.certificate) {
      case .nobody: return usual
      case .others(let reason):
        console.note(TerminalText.line("\(reason): what \(service) has stays as it is; move it away for a new one"))
        return nil
      case .ours(let old):
        if old.says(TLSFolder.id(service)), let names = try? old.extensions.subjectAlternativeNames { return names }
      case .remains: break
      }
      console.note("what \(service) had was not its certificate; the new one has the usual names alone")
      return usual
    }
  }
}

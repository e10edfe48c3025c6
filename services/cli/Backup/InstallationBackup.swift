import Foundation
import ServiceKit

/// A backup of all services as of one moment: all are held, then all are copied.
struct InstallationBackup: Sendable {
  let addresses: [ServiceName: PeerAddress]
  /// The longest time that any service's writers wait.
  let holdLimit: Duration
  /// Is told once all are held, and of each service whose files are here.
  let progress: @Sendable (Progress) -> Void
  /// Where the services speak TLS.
  var tls: TLSFolder?

  enum Progress: Sendable {
    case held
    case received(ServiceName, BackupManifest.Service)
  }

  /// Writes the backup into a new folder. Whatever fails, nothing is left of it and no service is held.
  func run(into name: String) async throws -> BackupManifest {
    let folder = try BackupFolder.begin(name)
    do {
      let services = try await receive(into: folder.partial)
      let manifest = BackupManifest(
        buddy: Buddy.version, time: Date(timeIntervalSince1970: Date().timeIntervalSince1970.rounded(.down)),
        services: Dictionary(uniqueKeysWithValues: services.map { ($0.key.rawValue, $0.value) }))
      try await folder.finish(manifest)
      return manifest
    } catch let error as FileError {
      folder.discard()
      throw CommandError(code: "OUTPUT_FILE", message: error.description, exit: .cannotWrite)
    } catch {
      folder.discard()
      throw error
    }
  }

  private func receive(into folder: String) async throws -> [ServiceName: BackupManifest.Service] {
    let barrier = Barrier(addresses.count)
    return try await withThrowingTaskGroup(of: (ServiceName, BackupManifest.Service).self) { group in
      for (index, (name, address)) in addresses.sorted(by: { $0.key.rawValue < $1.key.rawValue }).enumerated() {
        let service = ServiceBackup(
          name: name, address: address, folder: "\(folder)/\(name.rawValue)", limit: holdLimit,
          tls: try tls?.commandClient(of: name))
        group.addTask { [progress] in
          let state = try await service.run {
            try await barrier.arrive()
            if index == 0 { progress(.held) }
          }
          progress(.received(name, state))
          return (name, state)
        }
      }
      // The first failure cancels the others, whose services go on writing as soon as their calls end.
      return try await group.reduce(into: [:]) { $0[$1.0] = $1.1 }
    }
  }
}

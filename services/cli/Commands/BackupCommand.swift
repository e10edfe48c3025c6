import ArgumentParser
import Foundation
import ServiceKit

/// `buddy backup`.
struct BackupCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "backup", abstract: "Copies everything a running installation keeps, as of one moment.",
    discussion: """
      The services of `buddy up` are found by their data folder. Services that run elsewhere are named, all of them:

        buddy backup saved --service execution=10.0.0.5:8421 --service progress=10.0.0.6:8422 …

      \(ExitReason.table)
      """)

  @Argument(help: ArgumentHelp("A folder that does not exist yet; with --verify, a backup.", valueName: "folder"))
  var folder: String

  @Option(help: ArgumentHelp("The running installation's data folder (default: that of `buddy up`).",
    valueName: "folder"))
  var data: String?

  @Option(name: .long, parsing: .singleValue,
    help: ArgumentHelp("Where a service listens, instead of --data; once for each.", valueName: "name=host:port"))
  var service: [String] = []

  @OptionGroup var tls: TLSOptions

  @Option(help: ArgumentHelp("""
    The longest time that writing stops for, up to 1m (default: 4s). Where several processes share a PostgreSQL \
    schema, the others' writes are refused as busy after 5s.
    """, valueName: "time"),
    transform: OptionValue.duration)
  var holdLimit: Duration = .seconds(4)

  @Flag(help: "Make no backup: read the one in the folder and compare every file with its digest.")
  var verify = false

  @Flag(help: "Print the result as JSON.")
  var json = false

  func validate() throws {
    if folder.isEmpty { throw ValidationError("the folder's name is empty") }
    if data != nil || (service.isEmpty && !verify) { try DataFolder.check(data) }
    if data != nil, !service.isEmpty { throw ValidationError("give either --data or --service") }
    if verify, data != nil || !service.isEmpty { throw ValidationError("--verify only reads the folder") }
    guard holdLimit > .zero, holdLimit <= .seconds(60) else { throw ValidationError("--hold-limit is 1ms to 1m") }
    _ = try named()
  }

  func run() async throws {
    let console = Console.system()
    if verify { return try await BackupReport(folder: folder, json: json).verified(console) }
    let start = ContinuousClock.now
    let (addresses, certificates) = try installation()
    let backup = InstallationBackup(
      addresses: addresses, holdLimit: holdLimit,
      progress: { progress in
        switch progress {
        case .held: console.note("all services are held at one moment")
        case .received(let name, let state): console.note(BackupReport.line(name.rawValue, state))
        }
      }, tls: certificates)
    let manifest = try await Interruption.guarding { [folder] () -> BackupManifest? in
      try await backup.run(into: folder)
    } interrupted: {
      nil
    }
    guard let manifest else { throw SilentExit(reason: .interrupted) }
    try BackupReport(folder: folder, json: json).made(manifest, in: start.duration(to: .now), console)
  }

  private func installation() throws -> ([ServiceName: PeerAddress], TLSFolder?) {
    let named = try named()
    guard named.isEmpty else { return (named, tls.folder()) }
    let data = URL(fileURLWithPath: data ?? standardDataFolder()).standardizedFileURL.path
    let running = try RunningInstallation(data: data)
    return (running.addresses, tls.folder() ?? running.tls)
  }

  /// What `--service` says: nothing, or all services that keep state.
  private func named() throws -> [ServiceName: PeerAddress] {
    var found: [ServiceName: PeerAddress] = [:]
    for text in service {
      let parts = text.split(separator: "=", maxSplits: 1).map(String.init)
      guard parts.count == 2, let name = ServiceName(rawValue: parts[0]),
        let address = PeerAddress(settingText: parts[1])
      else { throw ValidationError("--service \(text) is not like execution=127.0.0.1:8421") }
      guard ServiceFleet.stateful.contains(name) else { throw ValidationError("\(parts[0]) keeps no state") }
      guard found.updateValue(address, forKey: name) == nil else {
        throw ValidationError("--service \(parts[0]) is given twice")
      }
    }
    let missing = ServiceFleet.stateful.filter { found[$0] == nil }.map(\.rawValue)
    guard found.isEmpty || missing.isEmpty else {
      throw ValidationError("a backup has all services; missing: --service for \(missing.joined(separator: ", "))")
    }
    return found
  }
}

import ArgumentParser
import Foundation
import Logging
import Messages
import ServiceKit

/// `buddy up`.
struct UpCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "up", abstract: "Starts everything on this machine and keeps it running.",
    discussion: """
      Services listen on 127.0.0.1 only. Their logs are in <data>/logs. Ctrl-C stops everything; a second Ctrl-C at \
      once.

      \(ExitReason.table)
      """)

  @Option(help: ArgumentHelp("""
    The gateway's port; the services take the six after it, and each for its administration the one 1000 above its own. \
    0: any that are free.
    """, valueName: "number"))
  var port = ServiceName.gateway.defaultPort

  @Option(help: ArgumentHelp("Where everything is kept (default: $XDG_DATA_HOME/buddy or ~/.local/share/buddy).",
    valueName: "folder"))
  var data: String?

  @Option(help: ArgumentHelp("Where the services' programs are (default: beside this one).", valueName: "folder"))
  var binaries: String?

  @Option(help: ArgumentHelp("A JSON file of settings for the services (see deploy/examples/buddy.json).",
    valueName: "file"))
  var config: String?

  @OptionGroup var tls: TLSOptions

  @Option(help: ArgumentHelp("An OpenTelemetry collector for the services' traces: host:port, OTLP over gRPC.",
    valueName: "address"))
  var otlpEndpoint: String?

  @Option(help: ArgumentHelp("How much the services log: trace, debug, info, notice, warning, error, critical.",
    valueName: "level"))
  var logLevel: String?

  @Option(help: ArgumentHelp("How they write it: text or json.", valueName: "format"))
  var logFormat: String?

  @Flag(help: "Show the services' logs here too.")
  var verbose = false

  @Option(help: ArgumentHelp("How long services may take to stop.", valueName: "time"),
    transform: OptionValue.duration)
  var shutdownGrace: Duration = .seconds(30)

  @Option(help: ArgumentHelp("How long services may take to start.", valueName: "time"),
    transform: OptionValue.duration)
  var startLimit: Duration = .seconds(30)

  @Option(help: ArgumentHelp("""
    Run this mission once everything is up. Without a terminal, stop afterwards with the mission's exit status.
    """, valueName: "objective"))
  var thenRun: String?

  @Option(name: .long, parsing: .singleValue,
    help: ArgumentHelp("A file for the mission of --then-run; may be given several times.", valueName: "file"))
  var input: [String] = []

  func validate() throws {
    guard (0...FleetPorts.highestGatewayPort).contains(port) else {
      throw ValidationError("--port must be from 0 to \(FleetPorts.highestGatewayPort)")
    }
    if thenRun == nil, !input.isEmpty { throw ValidationError("--input is for the mission of --then-run") }
    // An empty name of a folder would stand for the one this runs in.
    try DataFolder.check(data)
    if binaries?.isEmpty == true { throw ValidationError("--binaries is empty") }
    if startLimit <= .zero { throw ValidationError("--start-limit must be more than nothing") }
    // The services would refuse it too, but each by itself, over and over.
    if let logLevel, Logger.Level(settingText: logLevel) == nil {
      throw ValidationError("--log-level \(logLevel) is not \(Logger.Level.expected)")
    }
    if let logFormat, LogFormat(settingText: logFormat) == nil {
      throw ValidationError("--log-format \(logFormat) is neither text nor json")
    }
    if let config {
      do {
        try checkConfigurationFile(config)
      } catch {
        throw ValidationError("--config: \(error)")
      }
    }
    if let thenRun, thenRun.allSatisfy(\.isWhitespace) { throw ValidationError("the objective is empty") }
  }

  func run() async throws {
    let console = Console.system()
    let order = try order()
    var fleet = ServiceFleet(
      binaries: binaries ?? ServiceFleet.ownFolder(), data: "", ports: FleetPorts(), common: commonFlags)
    try fleet.checkPrograms()
    try tls.folder()?.check(ServiceFleet.services)
    let folder = try DataFolder.open(data ?? standardDataFolder())
    fleet.data = folder.path
    if let attempt = try RestoreJournal(data: folder.path).interrupted() {
      throw CommandError(
        code: "RESTORE_UNFINISHED",
        message: "a restore into \(folder.path) was interrupted; finish it with `buddy restore \(attempt.backup) "
          + "--data \(folder.path) --replace`\(attempt.place)",
        exit: .failed)
    }
    fleet.ports = port == 0 ? try await PortCheck.choose(ServiceFleet.services) : FleetPorts(from: port)
    if port != 0 { try await PortCheck.check(fleet.ports) }
    folder.rotateLogs(ServiceFleet.services)
    let installation = InstallationFile(data: folder.path)
    try installation.write(fleet.ports, tls: tls.folder())
    defer { installation.remove() }
    let session = UpSession(
      fleet: fleet, console: console, order: order, verbose: verbose, startLimit: startLimit, grace: shutdownGrace)
    let reason = try await session.run()
    withExtendedLifetime(folder) {}
    if reason != .success { throw SilentExit(reason: reason) }
  }

  var commonFlags: [String] {
    let flags = [
      ("--config", config), ("--tls-folder", tls.folder()?.path), ("--otlp-endpoint", otlpEndpoint),
      ("--log-level", logLevel), ("--log-format", logFormat),
    ]
    return flags.flatMap { flag, value in value.map { [flag, $0] } ?? [] }
  }

  private func order() throws -> MissionOrder? {
    guard let thenRun else { return nil }
    return MissionOrder(
      request: SubmitMissionRequest(objective: thenRun), inputs: try InputFile.all(input),
      idempotencyKey: Identifier.make())
  }
}

import ArgumentParser
import Foundation
import Messages

/// `buddy artifact …`.
struct ArtifactCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "artifact", abstract: "Lists, shows and fetches what missions read and made.",
    subcommands: [List.self, Show.self, Get.self])

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists artifacts, the newest first.")

    @Option(help: ArgumentHelp("Only what this mission made.", valueName: "mission"))
    var mission: String?

    @Option(parsing: .unconditional,
      help: ArgumentHelp("How many at the most, 1 to 10000.", valueName: "number"))
    var limit = 20

    @OptionGroup var gateway: GatewayOptions

    func validate() throws {
      try Limit.check(limit)
      try Filter.check(("--mission", mission))
    }

    func run() async throws {
      let console = Console.system()
      let artifacts = try await gateway.withGateway { try await $0.artifacts(mission: mission, limit: limit) }
      if gateway.json {
        try console.print(WireJSON.encode(ListArtifactsResponse(artifacts: artifacts)))
      } else if artifacts.isEmpty {
        console.note("no artifacts")
      } else {
        let columns = console.isOutputTerminal ? console.columns() : nil
        try console.print(Self.table(artifacts).lines(columns: columns).joined(separator: "\n"))
      }
    }

    static func table(_ artifacts: [Artifact]) -> Table {
      var table = Table(
        ("ARTIFACT", .left), ("SIZE", .right), ("TYPE", .left), ("CREATED", .left), ("NAME", .left))
      for artifact in artifacts {
        table.add(
          artifact.id, SizeText.format(artifact.size), artifact.mediaType,
          artifact.createdAt?.date.formatted(.iso8601) ?? "-", artifact.name)
      }
      return table
    }
  }

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Shows what is known of an artifact.")

    @OptionGroup var target: ArtifactTarget
    @OptionGroup var gateway: GatewayOptions

    func run() async throws {
      let console = Console.system()
      try await gateway.withGateway { client in
        let artifact = try await client.artifact(target.id)
        try console.print(
          gateway.json ? WireJSON.encode(artifact) : Self.details(artifact, address: client.address))
      }
    }

    static func details(_ artifact: Artifact, address: GatewayAddress) -> String {
      var rows = [
        ("Artifact", artifact.id), ("Name", artifact.name), ("Type", artifact.mediaType),
        ("Size", "\(SizeText.format(artifact.size)) (\(artifact.size) bytes)"), ("SHA-256", artifact.sha256),
      ]
      if !artifact.missionId.isEmpty { rows.append(("Mission", artifact.missionId)) }
      if let time = artifact.createdAt { rows.append(("Created", time.date.formatted(.iso8601))) }
      rows.append(("Address", address.artifactContent(artifact.id)))
      return rows.map { TerminalText.padded($0.0, to: 10) + TerminalText.line($0.1) }.joined(separator: "\n")
    }
  }

  struct Get: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Fetches an artifact, goes on with a partial one, and checks its digest.")

    @OptionGroup var target: ArtifactTarget

    @Option(name: .shortAndLong,
      help: ArgumentHelp("Where to; - is standard output (default: its name, here).", valueName: "file"))
    var output: String?

    @Flag(help: "Overwrite the file if it exists.")
    var force = false

    @OptionGroup var gateway: GatewayOptions

    func validate() throws {
      if output?.isEmpty == true { throw ValidationError("--output is empty") }
    }

    func run() async throws {
      let console = Console.system()
      try await gateway.withGateway { client in
        let artifact = try await client.artifact(target.id)
        let download = ArtifactDownload(gateway: client, artifact: artifact)
        if output == "-" { return try await download.toOutput(console) }
        let path = try output ?? ArtifactDownload.fileName(artifact)
        try await download.toFile(path, force: force)
        if gateway.json {
          try console.print(WireJSON.encode(artifact))
        } else {
          console.note("\(TerminalText.line(path)) (\(SizeText.format(artifact.size)))")
        }
      }
    }
  }
}

/// The artifact a command is about.
struct ArtifactTarget: ParsableArguments {
  @Argument(help: ArgumentHelp("The artifact's id.", valueName: "artifact"))
  var id: String

  func validate() throws {
    if id.isEmpty { throw ValidationError("the artifact's id is empty") }
  }
}

import ArgumentParser
import Foundation
import ServiceKit

/// `buddy restore`.
struct RestoreCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "restore", abstract: "Puts a backup in the place of what a stopped installation keeps.",
    discussion: """
      Every file is compared with its digest first. Data that is there is never deleted: --replace moves it into a \
      folder beside. If this is interrupted, either nothing has changed, or the same command goes on.

      The databases go where the services would look for them: to the server of --database or --database-file, else of \
      BUDDY_DATABASE or BUDDY_DATABASE_FILE, else of the file of --config or BUDDY_CONFIG, else into files in --data. \
      Everybody on this machine can read a command line: a URL with a password belongs into --database-file or \
      BUDDY_DATABASE.

      \(ExitReason.table)
      """)

  @Argument(help: ArgumentHelp("What `buddy backup` made.", valueName: "folder"))
  var folder: String

  @Option(help: ArgumentHelp("Where everything goes (default: the data folder of `buddy up`).", valueName: "folder"))
  var data: String?

  @Option(help: ArgumentHelp("Where the services' programs are (default: beside this one).", valueName: "folder"))
  var binaries: String?

  @Option(help: ArgumentHelp("A JSON file of settings for the services, as `buddy up` takes it.", valueName: "file"))
  var config: String?

  @Option(help: ArgumentHelp("A PostgreSQL server's database for the services' databases; '' for files in --data.",
    valueName: "url"))
  var database: String?

  @Option(help: ArgumentHelp("A file to read --database from, as it may hold a password.", valueName: "file"))
  var databaseFile: String?

  @Flag(help: "Move data that is there aside.")
  var replace = false

  @Flag(help: "Print the result as JSON.")
  var json = false

  func validate() throws {
    if folder.isEmpty { throw ValidationError("the folder's name is empty") }
    try DataFolder.check(data)
    if binaries?.isEmpty == true { throw ValidationError("--binaries is empty") }
  }

  /// Decided once, by the services' own rules, so that none of them looks elsewhere.
  func databases(environment: [String: String]) throws -> [ServiceName: DatabaseChoice] {
    let flags = [("--config", config), ("--database", database), ("--database-file", databaseFile)]
    let arguments = flags.compactMap { flag, value in value.map { "\(flag)=\($0)" } }
    do {
      return try ServiceFleet.stateful.reduce(into: [:]) { all, name in
        all[name] = try DatabaseChoice(of: name, arguments: arguments, environment: environment)
      }
    } catch let error as SettingError {
      throw CommandError.usage(error.description)
    }
  }

  private struct Result: Encodable {
    let data: String
    let time: Date
    let movedAside: String?
  }

  func run() async throws {
    let console = Console.system()
    let databases = try databases(environment: ProcessInfo.processInfo.environment)
    let backup = try await StoredBackup.verified(URL(fileURLWithPath: folder).standardizedFileURL.path)
    let binaries = binaries ?? ServiceFleet.ownFolder()
    try ServiceFleet.checkPrograms(ServiceFleet.stateful, in: binaries)
    let data = try DataFolder.open(data ?? standardDataFolder())
    let restore = InstallationRestore(
      backup: backup, data: data, binaries: binaries, replaces: replace, databases: databases
    ) { console.note($0) }
    let aside = try await restore.run()
    if json {
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
      encoder.dateEncodingStrategy = .iso8601
      let result = Result(data: data.path, time: backup.manifest.time, movedAside: aside)
      try console.print(String(decoding: try encoder.encode(result), as: UTF8.self))
    } else {
      let time = backup.manifest.time.formatted(.iso8601)
      try console.print("\(TerminalText.line(data.path)) is as it was at \(time)")
      if let aside { console.note("what was there is in \(TerminalText.line(aside))") }
    }
    withExtendedLifetime(data) {}
  }
}

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

      \(ExitReason.table)
      """)

  @Argument(help: ArgumentHelp("What `buddy backup` made.", valueName: "folder"))
  var folder: String

  @Option(help: ArgumentHelp("Where everything goes (default: the data folder of `buddy up`).", valueName: "folder"))
  var data: String?

  @Option(help: ArgumentHelp("Where the services' programs are (default: beside this one).", valueName: "folder"))
  var binaries: String?

  @Option(help: ArgumentHelp("""
    A PostgreSQL server's database for the services' databases (default: $BUDDY_DATABASE, else files in --data).
    """, valueName: "url"))
  var database: String?

  @Flag(help: "Move data that is there aside.")
  var replace = false

  @Flag(help: "Print the result as JSON.")
  var json = false

  func validate() throws {
    if folder.isEmpty { throw ValidationError("the folder's name is empty") }
    if let database, !database.hasPrefix("postgres://"), !database.hasPrefix("postgresql://") {
      throw ValidationError("--database is not a URL like postgres://user@host/database")
    }
    if data?.isEmpty == true { throw ValidationError("--data is empty") }
    if binaries?.isEmpty == true { throw ValidationError("--binaries is empty") }
  }

  private var chosenDatabase: String? {
    let text = database ?? ProcessInfo.processInfo.environment["BUDDY_DATABASE"] ?? ""
    return text.isEmpty ? nil : text
  }

  private struct Result: Encodable {
    let data: String
    let time: Date
    let movedAside: String?
  }

  func run() async throws {
    let console = Console.system()
    let backup = try await StoredBackup.verified(URL(fileURLWithPath: folder).standardizedFileURL.path)
    let binaries = binaries ?? ServiceFleet.ownFolder()
    try ServiceFleet.checkPrograms(ServiceFleet.stateful, in: binaries)
    let data = try DataFolder.open(data ?? standardDataFolder())
    let restore = InstallationRestore(
      backup: backup, data: data, binaries: binaries, replaces: replace, database: chosenDatabase
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

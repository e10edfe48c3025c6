import Foundation
import ServiceKit
import Subprocess
import SystemPackage

/// Puts a backup in the place of what a stopped installation keeps.
struct InstallationRestore: Sendable {
  let backup: StoredBackup
  /// The data folder, taken by this process.
  let data: DataFolder
  /// Folder of the services' programs.
  let binaries: String
  /// Whether state that is there already is moved aside; else it is an error.
  let replaces: Bool
  /// The server's database that takes the services' databases; nil for files.
  let database: String?
  let progress: @Sendable (String) -> Void

  private var journal: RestoreJournal { RestoreJournal(data: data.path) }

  /// Returns the folder that the old state went to; nil where there was none.
  func run() async throws -> String? {
    if let plan = try journal.unfinished() {
      progress("finishing the restore of \(plan.backup) that was interrupted")
      try await journal.finish(plan)
      if plan.backup == backup.folder, plan.time == backup.manifest.time { return aside(plan) }
    }
    try checkServices()
    try checkPlace()
    try await journal.begin()
    if database != nil { try await journal.beginLoading(backup.folder) }
    var loaded = 0
    do {
      for name in ServiceFleet.stateful {
        try await restore(name)
        loaded += 1
      }
      let plan = RestoreJournal.Plan(
        backup: backup.folder, time: backup.manifest.time, aside: "before-restore-\(Self.stamp())")
      try await journal.commit(plan)
      try await journal.finish(plan)
      return aside(plan)
    } catch {
      // Files are not touched before the commit, each schema of a server is replaced at once.
      if try journal.unfinished() == nil, database == nil || loaded == 0 { journal.discard() }
      throw error
    }
  }

  private func aside(_ plan: RestoreJournal.Plan) -> String? {
    let path = "\(data.path)/\(plan.aside)"
    return access(path, F_OK) == 0 ? path : nil
  }

  private func checkServices() throws {
    let missing = ServiceFleet.stateful.map(\.rawValue).filter { backup.manifest.services[$0] == nil }
    guard missing.isEmpty else {
      throw BackupManifest.damaged("\(backup.folder) has no \(missing.joined(separator: ", "))")
    }
    let unknown = backup.manifest.services.keys.filter { name in
      !ServiceFleet.stateful.contains { $0.rawValue == name }
    }
    guard unknown.isEmpty else {
      throw CommandError(
        code: "NEWER_BACKUP",
        message: "\(backup.folder) has \(unknown.sorted().joined(separator: ", ")), which this buddy does not run",
        exit: .failed)
    }
  }

  private func checkPlace() throws {
    for name in ServiceFleet.stateful {
      guard let holder = Self.holder(of: "\(data.path)/\(name.rawValue).sqlite3.lock") else { continue }
      throw CommandError(
        code: "RUNNING", message: "\(ServiceFleet.program(name)) runs\(holder) on \(data.path); stop it first",
        exit: .unavailable)
    }
    guard !replaces, try !RestoreJournal.state(in: data.path).isEmpty else { return }
    throw CommandError(
      code: "DATA_EXISTS",
      message: "\(data.path) holds an installation's data; --replace moves it aside, --data names another folder",
      exit: .cannotWrite)
  }

  /// Who has a service's database open, as far as the lock tells; nil if nobody.
  private static func holder(of path: String) -> String? {
    let lock = open(path, O_RDWR | O_CLOEXEC)
    guard lock >= 0 else { return nil }
    defer { close(lock) }
    if flock(lock, LOCK_EX | LOCK_NB) == 0 { return nil }
    let text = (try? String(contentsOfFile: path, encoding: .utf8))?.filter(\.isNumber) ?? ""
    return text.isEmpty ? "" : " (process \(text))"
  }

  /// The service itself knows its schema: it takes its folder of the backup, into a data folder that is new.
  private func restore(_ name: ServiceName) async throws {
    let program = ServiceFleet.program(name)
    var arguments = [
      "--host", ServiceFleet.host, "--data", journal.new, "--log-format", "json", "--log-level", "info",
      "--restore-from", "\(backup.folder)/\(name.rawValue)",
    ]
    if replaces { arguments.append("--restore-replaces") }
    // A URL may hold a password, and arguments can be read by everybody on the machine.
    let environment = Environment.inherit.updating(["BUDDY_DATABASE": database ?? ""])
    let result = try await Subprocess.run(
      .path(FilePath("\(binaries)/\(program)")), arguments: Arguments(arguments), environment: environment,
      output: .discarded, error: .string(limit: 1 << 20))
    guard case .exited(0) = result.terminationStatus else {
      throw failure(program, result.terminationStatus == .exited(73), log: result.standardError)
    }
    if let state = backup.manifest.services[name.rawValue] { progress(BackupReport.line(name.rawValue, state)) }
  }

  private func failure(_ program: String, _ isPlace: Bool, log: String) -> CommandError {
    struct Line: Decodable { let error: String? }
    let lines = log.split(separator: "\n")
    // The log's last error, or what was said before there was a log.
    let errors = lines.compactMap { try? JSONDecoder().decode(Line.self, from: Data($0.utf8)).error }
    var reason = errors.last ?? lines.last.map(String.init) ?? "it says nothing"
    if reason.contains("there is a database already") { reason += "; --replace moves it aside" }
    return CommandError(
      code: "RESTORE_FAILED", message: "\(program) did not take its state: \(reason)",
      exit: isPlace ? .cannotWrite : .failed)
  }

  private static func stamp() -> String {
    let text: String = Date().formatted(.iso8601)
    return text.replacing(":", with: "").replacing("-", with: "")
  }
}

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
  /// Where each service's database goes.
  let databases: [ServiceName: DatabaseChoice]
  let progress: @Sendable (String) -> Void

  private var journal: RestoreJournal { RestoreJournal(data: data.path) }

  private var attempt: RestoreJournal.Attempt {
    let servers = databases.mapValues(\.shown).filter { !$0.value.isEmpty }
    let target = Dictionary(uniqueKeysWithValues: servers.map { ($0.key.rawValue, $0.value) })
    return RestoreJournal.Attempt(backup: backup.folder, target: target)
  }

  /// Returns the folder that the old state went to; nil where there was none.
  func run() async throws -> String? {
    let attempt = attempt
    let isRepeated = try journal.interrupted(in: attempt.target) != nil
    if let plan = try journal.unfinished() {
      progress("finishing the restore of \(plan.backup) that was interrupted")
      try await journal.finish(plan)
      if plan.backup == backup.folder, plan.time == backup.manifest.time { return aside(plan) }
    }
    try checkServices()
    try checkPlace()
    try await journal.begin()
    if !attempt.target.isEmpty { try await journal.beginLoading(attempt) }
    var hasLoaded = isRepeated
    do {
      for name in ServiceFleet.stateful {
        try await restore(name)
        hasLoaded = true
      }
      let plan = RestoreJournal.Plan(
        backup: backup.folder, time: backup.manifest.time, aside: journal.freeAside(), target: attempt.target)
      try await journal.commit(plan)
      try await journal.finish(plan)
      return aside(plan)
    } catch {
      // Files are not touched before the commit, each schema of a server is replaced at once.
      let isUnchanged = !hasLoaded && (error as? CommandError)?.code == Self.refusal
      if try journal.unfinished() == nil, attempt.target.isEmpty || isUnchanged {
        journal.discard()
      } else {
        progress("some of it may be there already: nothing starts on \(data.path) until a restore is complete")
      }
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
    let variables = databases[name]?.environment ?? [:]
    let environment = Environment.inherit.updating(
      Dictionary(uniqueKeysWithValues: variables.map { (Environment.Key(stringLiteral: $0), Optional($1)) }))
    let result = try await Subprocess.run(
      .path(FilePath("\(binaries)/\(program)")), arguments: Arguments(arguments), environment: environment,
      output: .discarded, error: .string(limit: 1 << 20))
    var code: Int32?
    if case .exited(let number) = result.terminationStatus { code = number }
    guard code == 0 else { throw Self.failure(program, code, log: result.standardError) }
    if let state = backup.manifest.services[name.rawValue] { progress(BackupReport.line(name.rawValue, state)) }
  }

  /// The code of an error after which the service's state is as it was.
  static let refusal = "RESTORE_FAILED"

  /// - Parameter code: What the service exited with; nil if it was killed.
  static func failure(_ program: String, _ code: Int32?, log: String) -> CommandError {
    guard let code else {
      return CommandError(
        code: "RESTORE_CUT_OFF", message: "\(program) was ended while it took its state; restore again", exit: .failed)
    }
    var reason = reason(in: log)
    if reason.contains("there is a database already") { reason += "; --replace moves it aside" }
    if reason.contains("is in use by") { reason += "; stop it first" }
    let exit: ExitReason = switch code {
    case ExitCode.cannotCreate.rawValue: .cannotWrite
    case ExitCode.unavailable.rawValue: .unavailable
    default: .failed
    }
    // The connection broke at the commit.
    let name = reason.contains("it is not known whether") ? "RESTORE_CUT_OFF" : refusal
    return CommandError(code: name, message: "\(program) did not take its state: \(reason)", exit: exit)
  }

  /// The last error of a service's log in JSON, or what it said before there was a log.
  private static func reason(in log: String) -> String {
    struct Line: Decodable {
      struct Metadata: Decodable { let error: String? }
      let level: String
      let message: String
      let metadata: Metadata?
    }
    var (logged, said): (String?, String?)
    for text in log.split(separator: "\n") where !text.hasPrefix("Try '") {
      guard let line = try? JSONDecoder().decode(Line.self, from: Data(text.utf8)) else {
        if !text.hasPrefix("{") { said = String(text) }
        continue
      }
      if let error = line.metadata?.error {
        logged = error
      } else if ["error", "critical"].contains(line.level) {
        logged = line.message
      }
    }
    return logged ?? said ?? "it says nothing"
  }
}

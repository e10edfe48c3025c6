import Foundation
import Logging
import RPC

/// One service's side of the connections between services, made when it starts so that unusable files end it then.
struct ServiceTLS: Sendable {
  /// Nil where the service's port speaks something else.
  let server: ServerTLS?
  let clients: [ServiceName: ClientTLS]
  let accessList: AccessList

  /// Nil without `--tls-folder`. Throws ``SettingError``.
  init?(_ name: ServiceName, _ settings: Settings, logger: Logger) throws {
    let (path, rules) = (settings[CommonSettings.tlsFolder], settings[CommonSettings.accessList])
    guard !path.isEmpty else {
      guard rules.isEmpty else {
        let flags = (CommonSettings.accessList.flag, CommonSettings.tlsFolder.flag)
        throw SettingError("\(flags.0) needs \(flags.1): without TLS nobody is known")
      }
      return nil
    }
    let folder = TLSFolder(path)
    let log: @Sendable (String) -> Void = { logger.notice("\($0)") }
    let silent: @Sendable (String) -> Void = { _ in }
    do {
      server = name == .gateway ? nil : try folder.server(name, log: log)
      // All have the same files: one line says what became of them.
      clients = try ServiceName.allCases.filter { $0 != name && $0 != .gateway }.reduce(into: [:]) { all, peer in
        let tells = name == .gateway && all.isEmpty
        all[peer] = try folder.client(name.rawValue, of: peer, log: tells ? log : silent)
      }
    } catch let error as TLSFileError {
      throw SettingError("\(CommonSettings.tlsFolder.flag): \(error); `buddy certs init` makes what is needed")
    }
    accessList = try rules.isEmpty ? Self.standardAccess : Self.accessList(rules)
  }

  private static func accessList(_ path: String) throws -> AccessList {
    guard let bytes = FileManager.default.contents(atPath: path) else {
      throw SettingError("\(CommonSettings.accessList.flag): cannot read \(path)")
    }
    do {
      return try AccessList(text: String(decoding: bytes, as: UTF8.self))
    } catch {
      throw SettingError("\(CommonSettings.accessList.flag): \(path): \(error)")
    }
  }

  /// Who calls whom among our services; the same for each, since a service has only its own methods. Health is open to
  /// every service, reflection to the `buddy` command alone: a file of `--access-list` can say otherwise.
  static let standardAccess = AccessList([
    rule(
      "gateway", "buddy.mission.v1.Missions", "buddy.audit.v1.Audit", "buddy.artifact.v1.Artifacts",
      "buddy.progress.v1.Progress/Watch", "buddy.progress.v1.Progress/List", "buddy.progress.v1.Progress/WatchAll",
      "buddy.progress.v1.Progress/ListAll", "buddy.progress.v1.Progress/Snapshot",
      "buddy.investment.v1.Investment/GetBudget", "buddy.investment.v1.Investment/SetBudget",
      "buddy.investment.v1.Investment/ListLedger", "buddy.learning.v1.Learning/GiveFeedback",
      "buddy.learning.v1.Learning/ListFeedback", "buddy.admin.v1.Admin/ListRefused",
      "buddy.admin.v1.Admin/RetryRefused", "buddy.admin.v1.Admin/DropRefused"),
    rule(
      "execution", "buddy.artifact.v1.Artifacts", "buddy.delivery.v1.Inbox", "buddy.investment.v1.Investment/Estimate",
      "buddy.investment.v1.Investment/Reserve", "buddy.learning.v1.Learning/GetMultipliers"),
    rule("scheduler", "buddy.mission.v1.Missions"),
    rule(TLSFolder.command, ["buddy.admin.v1.Admin"] + InfrastructureServices.reflection),
    rule("*", InfrastructureServices.health),
  ])

  private static func rule(_ name: String, _ methods: String...) -> AccessList.Rule { rule(name, methods) }

  private static func rule(_ name: String, _ methods: [String]) -> AccessList.Rule {
    AccessList.Rule(
      name == "*" ? .below(TLSFolder.id("")) : .exactly(TLSFolder.id(name)), methods.compactMap { .init($0) })
  }
}

/// Which database a service would take, for a program that starts it: by flags, variables and files of settings, with
/// the service's own rules.
public struct DatabaseChoice: Sendable, Hashable {
  /// The URL of a PostgreSQL server's database, which may hold a password; empty for files of the data folder.
  private let url: String
  /// The same without the password.
  public let shown: String

  /// - Parameters:
  ///   - arguments: `--config`, `--database` and `--database-file` at most.
  ///   - environment: Of the whole process.
  /// - Throws: ``SettingError`` for what the service would refuse.
  public init(of service: ServiceName, arguments: [String], environment: [String: String]) throws {
    let settings = try Settings(
      [CommonSettings.config, CommonSettings.database], arguments: arguments, environment: environment,
      service: service)
    let database = settings[CommonSettings.database]
    shown = database.settingText
    switch database {
    case .file: url = ""
    case .postgres(let url): self.url = url
    }
  }

  /// The variables by which a process gets this database and no other: one that is empty counts as not set. It must
  /// not be given the flags too.
  public var environment: [String: String] {
    let database = CommonSettings.database.variable
    return [database: url, database + "_FILE": "", CommonSettings.config.variable: ""]
  }
}

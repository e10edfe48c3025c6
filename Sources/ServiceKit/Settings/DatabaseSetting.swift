import Storage

/// Where the services keep their databases. Its text may hold a password and is shown without it.
enum DatabaseSetting: SettingValue, Hashable {
  /// In files of the data folder.
  case file
  /// In one schema for each service.
  case postgres(url: String)

  static let expected =
    "a URL like postgres://user@host:5432/database?sslmode=verify-full (the password may stand in ~/.pgpass)"
  static let placeholder = "URL"
  static let mayHoldSecrets = true

  init?(settingText text: String) {
    guard !text.isEmpty else {
      self = .file
      return
    }
    guard (try? PostgresAddress(text, schema: "buddy")) != nil else { return nil }
    self = .postgres(url: text)
  }

  var settingText: String {
    switch self {
    case .file: ""
    case .postgres(let url): (try? PostgresAddress(url, schema: "buddy"))?.url ?? ""
    }
  }

  var holdsSecret: Bool {
    switch self {
    case .file: false
    case .postgres(let url): (try? PostgresAddress(url, schema: "buddy"))?.holdsSecret ?? true
    }
  }

  func location(of service: ServiceName, dataFolder: String) throws -> DatabaseLocation {
    switch self {
    case .file: .sqlite(path: "\(dataFolder)/\(service.rawValue).sqlite3")
    case .postgres(let url): .postgres(try PostgresAddress(url, schema: "buddy_\(service.rawValue)"))
    }
  }
}

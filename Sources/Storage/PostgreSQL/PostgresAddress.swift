import CLibPQ

/// A schema of a PostgreSQL database: where one service keeps its tables.
public struct PostgresAddress: Sendable, Hashable {
  /// As it was given: handed to libpq as it is, which understands more than is shown. May hold a password.
  let conninfo: String
  public let schema: String
  /// Whether a password stands in it.
  public let holdsSecret: Bool
  private let shown: String

  /// - Parameters:
  ///   - url: `postgres://user:password@host:port/database?option=value`; for a Unix socket
  ///     `postgres://user@/database?host=/folder/of/the/socket`. Every option of libpq is understood (PostgreSQL's
  ///     manual, section 34.1.2), `sslmode` and `sslrootcert` among them; what is not given comes from libpq's
  ///     variables and files (`PGPASSFILE`, `~/.pgpass`).
  ///   - schema: Created where it is missing; up to 40 lower-case letters, digits and `_`.
  /// - Throws: ``StorageError/cannotOpen(path:reason:)``, without the password, for a text that is no such URL.
  public init(_ url: String, schema: String) throws {
    guard schema.utf8.count <= 40, schema.wholeMatch(of: #/[a-z_][a-z0-9_]*/#) != nil else {
      throw StorageError.cannotOpen(path: schema, reason: "a schema's name is up to 40 of a-z, 0-9 and _")
    }
    let options = try Self.options(of: url)
    conninfo = url
    self.schema = schema
    shown = Self.text(of: options)
    holdsSecret = options.contains { Self.secrets.contains($0.name) && !$0.value.isEmpty }
  }

  private typealias Option = (name: String, value: String)

  /// What the text sets, in libpq's order.
  private static func options(of url: String) throws -> [Option] {
    func refused(_ reason: String) -> StorageError { .cannotOpen(path: "(database URL)", reason: reason) }
    guard url.hasPrefix("postgres://") || url.hasPrefix("postgresql://") else {
      throw refused("it must begin with postgres:// or postgresql://")
    }
    var message: UnsafeMutablePointer<CChar>?
    guard let list = PQconninfoParse(url, &message) else {
      let reason = message.map { String(cString: $0).trimmedLine } ?? "it cannot be parsed"
      PQfreemem(message)
      // libpq quotes the part that it stumbled over, which may be or hold the password.
      throw refused(reason.replacing(#/(:? ?["“”'«»].*)$/#, with: ""))
    }
    defer { PQconninfoFree(list) }
    var options: [Option] = []
    var entry = list
    while let keyword = entry.pointee.keyword {
      if let value = entry.pointee.val { options.append((String(cString: keyword), String(cString: value))) }
      entry += 1
    }
    // Else a slash in the password would make its rest the database's name, which is shown.
    if options.contains(where: { $0.name == "dbname" && $0.value.contains("@") }) {
      throw refused("a slash in the password is written %2F, and an @ in the database's name is not taken")
    }
    return options
  }

  private static let secrets: Set<String> = ["password", "sslpassword"]

  /// A URL that names everything but what is secret.
  private static func text(of options: [Option]) -> String {
    func value(_ name: String) -> String { options.first { $0.name == name }?.value ?? "" }
    var host = value("host")
    // A socket's folder and a list of hosts cannot stand where a URL has its host.
    let isPlainHost = !host.contains { "/,@".contains($0) } && !value("port").contains(",")
    let inQuery = options.filter { name, _ in
      !secrets.contains(name) && !["user", "dbname"].contains(name)
        && !(isPlainHost && ["host", "port"].contains(name))
    }
    if host.contains(":") { host = "[\(host)]" }
    var text = "postgres://" + (value("user").isEmpty ? "" : value("user") + "@")
    if isPlainHost { text += host + (value("port").isEmpty ? "" : ":" + value("port")) }
    text += "/" + value("dbname")
    if !inQuery.isEmpty { text += "?" + inQuery.map { "\($0.name)=\($0.value)" }.joined(separator: "&") }
    return text
  }
}

extension PostgresAddress: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  /// The URL without the password.
  public var url: String { shown }
  /// The URL without the password, and the schema.
  public var description: String { "\(shown) (schema \(schema))" }
  public var debugDescription: String { description }
  /// `dump` and the like must not show the password either.
  public var customMirror: Mirror { Mirror(self, children: ["url": shown, "schema": schema]) }
}

extension String {
  /// libpq's messages end with a line end and may have more than one line.
  var trimmedLine: String {
    split(whereSeparator: \.isNewline).map { $0.drop { $0 == " " || $0 == "\t" } }.joined(separator: "; ")
  }
}

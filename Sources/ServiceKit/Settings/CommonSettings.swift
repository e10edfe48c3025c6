public import Logging

/// What can be set for every service.
enum CommonSettings {
  static func port(_ service: ServiceName) -> Setting<Int> {
    Setting(
      "port", default: service.defaultPort, help: "the port to listen on; 0 takes any that is free", in: 0...65535)
  }

  static let config = Setting<String>(
    "config", default: "",
    help: "a JSON file of settings, by the flags' names; below a service's name what is for that service only")
  static let host = Setting<String>("host", default: "127.0.0.1", help: "the address to listen on")
  static let allowNetwork = Setting<Bool>(
    "insecure-allow-network", default: false,
    help: "listen on an address that other machines can reach, without accounts or encryption: "
      + "anyone who reaches the port can run missions and read their results")
  static let tlsFolder = Setting(
    nonEmpty: "tls-folder", expected: "a folder; leave it out for plain text",
    help: "the folder of `buddy certs init`: gRPC between services speaks mutual TLS only, and each caller is known")
  static let accessList = Setting<String>(
    "access-list", default: "",
    help: "a file of rules who may call what, instead of the built-in ones; needs --tls-folder")
  static let adminPort = Setting<AdminPortNumber>(
    "admin-port", default: .besideService,
    help: "the port of /metrics, /healthz and /readyz; 0 takes any that is free, and so does the default where --port is 0")
  static let adminHost = Setting<String>(
    "admin-host", default: "", help: "the address of the admin port; unless given, that of --host")
  static let data = Setting(
    nonEmpty: "data", default: standardDataFolder(), expected: "a folder; leave it out for the usual one",
    help: "the folder for databases and files")
  static let database = Setting<DatabaseSetting>(
    "database", default: .file,
    help: "a PostgreSQL server's database for all services, a schema buddy_<service> each; empty: files in --data")
  static let logLevel = Setting<Logger.Level>("log-level", default: .info, help: "the least severe messages to log")
  static let logFormat = Setting<LogFormat>(
    "log-format", default: .text, help: "lines for people, or one JSON object a line")
  static let shutdownGrace = Setting<Duration>(
    "shutdown-grace", default: .seconds(30), help: "how long calls may go on after SIGTERM or SIGINT")
  static let exitWithParent = Setting<Bool>(
    "exit-with-parent", default: false,
    help: "stop when standard input ends, which it does when the process that holds its other end does")

  static let restoreFrom = Setting<String>(
    "restore-from", default: "",
    help: "make this folder of a backup the service's state, of which there must be none, and exit")

  static let restoreReplaces = Setting<Bool>(
    "restore-replaces", default: false, help: "with --restore-from: put a database that is there aside")

  /// Where another service listens.
  static func address(of peer: ServiceName) -> Setting<PeerAddress> {
    Setting(
      "\(peer.rawValue)-address", default: PeerAddress(host: "127.0.0.1", port: peer.defaultPort),
      help: "where the \(peer.rawValue) service listens")
  }

  /// Everything above, for one service.
  static func all(_ service: ServiceName) -> [any SettingDeclaration] {
    let peers = ServiceName.allCases.filter { $0 != service && $0 != .gateway }
    let common: [any SettingDeclaration] = [
      config, host, port(service), allowNetwork, tlsFolder, accessList, adminPort, adminHost, data, database, logLevel,
      logFormat, shutdownGrace, exitWithParent,
    ]
    let restoring: [any SettingDeclaration] = service == .gateway ? [] : [restoreFrom, restoreReplaces]
    return common + restoring + TraceSettings.all + peers.map(address)
  }
}

/// `host:port`, with an IPv6 address in brackets.
public struct PeerAddress: SettingValue, Hashable {
  public var host: String
  public var port: Int

  public static let expected = "an address like 127.0.0.1:8421"
  public static let placeholder = "HOST:PORT"

  public init(host: String, port: Int) {
    self.host = host
    self.port = port
  }

  public init?(settingText text: String) {
    guard let colon = text.lastIndex(of: ":"), let port = Int(text[text.index(after: colon)...]),
      (1...65535).contains(port)
    else { return nil }
    var host = text[..<colon]
    if host.hasPrefix("["), host.hasSuffix("]") {
      host = host.dropFirst().dropLast()
    } else if host.contains(":") {
      return nil
    }
    guard !host.isEmpty else { return nil }
    self.init(host: String(host), port: port)
  }

  public var settingText: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
}

extension Logger.Level: SettingValue {}

import Foundation
import TestSupport

/// A PostgreSQL server of the tests' own: in a temporary folder, on a Unix socket, gone with the test process however
/// that ends. Missing binaries are an error.
///
/// Its texts sort as in English, not bytewise, so that what relies on the server's order shows.
public final class PostgresServer: Sendable {
  /// The folder of the socket and of everything else.
  public let folder: String
  /// Of the socket's name, and on loopback where it listens there.
  public let port: Int
  private let flags: [String]
  private let supervisor = Supervisor()

  /// The one that all tests of this process share; started when it is first asked for.
  public static func shared() async throws -> PostgresServer { try await sharedStart.value }

  private static let sharedStart = Task { try await PostgresServer() }

  /// Makes a new server and starts it.
  ///
  /// - Parameters:
  ///   - settings: As in `postgresql.conf`.
  ///   - listensOnLoopback: Beside the Unix socket.
  ///   - isDurable: Whether commits reach the disk, as they would outside of tests.
  ///   - files: Names and texts of files in its data folder, readable by the server alone.
  public init(
    settings: [String: String] = [:], listensOnLoopback: Bool = false, isDurable: Bool = false,
    files: [String: String] = [:]
  ) async throws {
    folder = FileManager.default.temporaryDirectory
      .appendingPathComponent("pg-\(UInt32.random(in: 0...UInt32.max))").path
    port = listensOnLoopback ? try Self.freePort() : 5432
    var all = [
      "unix_socket_directories": folder, "listen_addresses": listensOnLoopback ? "127.0.0.1" : "", "port": "\(port)",
      "max_connections": "400", "shared_buffers": "64MB", "fsync": isDurable ? "on" : "off",
      "full_page_writes": isDurable ? "on" : "off", "log_min_messages": "warning", "autovacuum": "off",
    ]
    all.merge(settings) { $1 }
    flags = ["-D", folder + "/data"] + all.sorted { $0.key < $1.key }.flatMap { ["-c", "\($0)=\($1)"] }
    try Self.createFolder(folder)
    _ = try await Self.run(
      Self.asServer + [
        try Self.binary("initdb"), "-D", folder + "/data", "-U", "buddy", "--auth=trust", "--no-sync",
        "--no-instructions", "--encoding=UTF8", "--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en-US",
      ], in: folder)
    for (name, text) in files { try Self.write(text, to: "\(folder)/data/\(name)") }
    try await start()
  }

  deinit { supervisor.stop(andRemove: true) }

  /// Starts it again after ``stop()`` and waits until it takes connections.
  public func start() async throws {
    let command = Self.asServer + ["setpriv", "--pdeathsig", "QUIT", "--", try Self.binary("postgres")] + flags
    try supervisor.start(folder: folder, command)
    try await eventually("PostgreSQL takes connections", within: .seconds(60)) {
      guard supervisor.isRunning else { throw NeverHappened(description: "PostgreSQL ended:\n\(log)") }
      // The file's last line, once the server is up.
      let state = try? String(contentsOfFile: folder + "/data/postmaster.pid", encoding: .utf8)
      return state?.split(separator: "\n").last?.hasPrefix("ready") ?? false
    }
  }

  /// Ends it at once as a crash would; connections break.
  public func stop() async throws {
    supervisor.stop(andRemove: false)
    try await eventually("PostgreSQL stops", within: .seconds(60)) { !supervisor.isRunning }
  }

  /// The server's main process.
  public var id: Int32 {
    let text = try? String(contentsOfFile: folder + "/data/postmaster.pid", encoding: .utf8)
    return text?.split(separator: "\n").first.flatMap { Int32($0) } ?? 0
  }

  public var log: String { (try? String(contentsOfFile: folder + "/log", encoding: .utf8)) ?? "" }

  public func url(database: String = "postgres") -> String {
    "postgres://buddy@/\(database)?host=\(folder)&port=\(port)"
  }

  /// Runs SQL as the administrator; its rows as lines, columns separated by `|`.
  @discardableResult
  public func sql(_ text: String, database: String = "postgres") async throws -> String {
    let command = [try Self.binary("psql"), "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", text, url(database: database)]
    return try await Self.run(command, in: "/").trimmingCharacters(in: .newlines)
  }

  /// An empty database; its name.
  public func makeDatabase() async throws -> String {
    let name = "db_\(UInt32.random(in: 0...UInt32.max))"
    try await sql("CREATE DATABASE \(name)")
    return name
  }

  /// Removes a schema and those whose names begin with it and `_backup`, without waiting for who still uses them.
  func dropSchema(_ name: String) {
    let text = """
      SET lock_timeout = '2s'; SET client_min_messages = error;
      DO $$ DECLARE s text; BEGIN
        FOR s IN SELECT nspname FROM pg_namespace WHERE nspname = '\(name)' OR nspname LIKE '\(name)\\_backup%' LOOP
          EXECUTE format('DROP SCHEMA %I CASCADE', s);
        END LOOP;
      END $$
      """
    guard let psql = try? Self.binary("psql") else { return }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: psql)
    process.arguments = ["-Xq", "-c", text, url()]
    process.standardOutput = FileHandle.nullDevice
    process.standardError = FileHandle.nullDevice
    process.standardInput = FileHandle.nullDevice
    guard (try? ServiceProcess.withoutBlockedSignals { try process.run() }) != nil else { return }
    process.waitUntilExit()
  }
}

// MARK: - The system's side

extension PostgresServer {
  /// The path of one of PostgreSQL's programs: the newest version under Debian's folder, else from the PATH.
  private static func binary(_ name: String) throws -> String {
    let root = "/usr/lib/postgresql"
    let versions = (try? FileManager.default.contentsOfDirectory(atPath: root)) ?? []
    let own = versions.sorted { (Int($0) ?? 0) > (Int($1) ?? 0) }.map { "\(root)/\($0)/bin" }
    let path = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":").map(String.init)
    guard let found = (own + path).map({ "\($0)/\(name)" }).first(where: FileManager.default.isExecutableFile) else {
      throw NeverHappened(description: "\(name) is not installed: run deploy/scripts/setup.sh test")
    }
    return found
  }

  /// PostgreSQL refuses to run as root, so then it runs as the user that its package made.
  private static var asServer: [String] {
    geteuid() == 0 ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"] : []
  }

  private static func createFolder(_ path: String) throws {
    guard (path + "/.s.PGSQL.65535").utf8.count < 104 else {
      throw NeverHappened(description: "\(path) is too long for a socket: set TMPDIR to a shorter one")
    }
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    try giveToServer(path)
  }

  private static func write(_ text: String, to path: String) throws {
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    chmod(path, 0o600)
    try giveToServer(path)
  }

  private static func giveToServer(_ path: String) throws {
    guard geteuid() == 0 else { return }
    guard let user = getpwnam("postgres") else {
      throw NeverHappened(description: "there is no user postgres: run deploy/scripts/setup.sh test")
    }
    guard chown(path, user.pointee.pw_uid, user.pointee.pw_gid) == 0 else {
      throw NeverHappened(description: "chown \(path): \(String(cString: strerror(errno)))")
    }
  }

  private static func freePort() throws -> Int {
    let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(listener) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
    let result = withUnsafeMutablePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        bind(listener, $0, length) == 0 && getsockname(listener, $0, &length) == 0
      }
    }
    guard result else { throw NeverHappened(description: "no free port") }
    return Int(UInt16(bigEndian: address.sin_port))
  }

  /// Runs a command to its end; its output.
  private static func run(_ command: [String], in folder: String) async throws -> String {
    let output = FileManager.default.temporaryDirectory.appendingPathComponent("out-\(UUID().uuidString)").path
    _ = FileManager.default.createFile(atPath: output, contents: nil)
    defer { try? FileManager.default.removeItem(atPath: output) }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = command
    process.currentDirectoryURL = URL(fileURLWithPath: folder)
    process.standardInput = FileHandle.nullDevice
    let file = FileHandle(forWritingAtPath: output)
    (process.standardOutput, process.standardError) = (file, file)
    try ServiceProcess.withoutBlockedSignals { try process.run() }
    try await eventually("\(command[0]) ends", within: .seconds(120)) { !process.isRunning }
    let text = (try? String(contentsOfFile: output, encoding: .utf8)) ?? ""
    guard process.terminationStatus == 0 else {
      throw NeverHappened(description: "\(command.joined(separator: " ")): \(text)")
    }
    return text
  }
}

import Foundation
public import TestSupport

/// A binary of this package as a real child process, with its log in a file. It never outlives its owner: dropping the
/// last reference kills it, and so does the end of the test process, which ends its standard input.
public final class ServiceProcess: Sendable {
  public let name: String
  private let process: Process
  private let logPath: String
  private let input = Pipe()

  /// Starts a binary of this package, `buddy-execution` for example, or the one at an absolute path.
  ///
  /// - Parameters:
  ///   - folder: Where its log goes.
  ///   - environment: Added to this process's own.
  public init(
    _ name: String, _ arguments: [String], in folder: TemporaryFolder, environment: [String: String] = [:]
  ) throws {
    self.name = name
    let label = URL(fileURLWithPath: name).lastPathComponent
    logPath = folder.file("\(label)-\(UUID().uuidString).log")
    guard FileManager.default.createFile(atPath: logPath, contents: nil),
      let log = FileHandle(forWritingAtPath: logPath)
    else { throw NeverHappened(description: "cannot write \(logPath)") }
    process = Process()
    process.executableURL = URL(fileURLWithPath: name.hasPrefix("/") ? name : Self.binaries + "/" + name)
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment
      .merging(["BUDDY_EXIT_WITH_PARENT": "true"]) { $1 }.merging(environment) { $1 }
    process.standardInput = input
    process.standardOutput = log
    process.standardError = log
    try Self.withoutBlockedSignals { try process.run() }
    try log.close()
  }

  /// A child inherits its parent thread's signal mask, and the threads that tasks run on block nearly all signals.
  static func withoutBlockedSignals(_ body: () throws -> Void) rethrows {
    var (none, old) = (sigset_t(), sigset_t())
    sigemptyset(&none)
    pthread_sigmask(SIG_SETMASK, &none, &old)
    defer { pthread_sigmask(SIG_SETMASK, &old, nil) }
    try body()
  }

  deinit {
    guard process.isRunning else { return }
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
  }

  /// The folder that the package's binaries are built into: this very binary's.
  public static var binaries: String {
    let own = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? CommandLine.arguments[0]
    return URL(fileURLWithPath: own).deletingLastPathComponent().path
  }

  public var id: Int32 { process.processIdentifier }

  public var isRunning: Bool { process.isRunning }

  /// Everything it has written so far.
  public var log: String { (try? String(contentsOfFile: logPath, encoding: .utf8)) ?? "" }

  /// Waits for its `listening` line and returns the port. Throws with its log if it ends first.
  public func port() async throws -> Int {
    try await eventually("\(name) listens") {
      if Self.port(in: log) != nil { return true }
      guard process.isRunning else { throw NeverHappened(description: "\(name) ended before it listened:\n\(log)") }
      return false
    }
    return Self.port(in: log) ?? 0
  }

  /// Sends a signal, SIGTERM for example.
  public func send(_ signal: Int32) { kill(process.processIdentifier, signal) }

  /// Waits for its end and returns its exit code; for a process that a signal ended the signal's number, negative.
  @discardableResult
  public func ended() async throws -> Int32 {
    try await eventually("\(name) ends", within: .seconds(60)) { !process.isRunning }
    return process.terminationReason == .uncaughtSignal ? -process.terminationStatus : process.terminationStatus
  }

  /// The port of /metrics, /healthz and /readyz; nil while it is not there yet.
  public var adminPort: Int? { Self.adminPort(in: log) }

  /// The port of the last `listening` line of a log, as text or JSON.
  public static func port(in log: String) -> Int? {
    port(in: log) { $0.contains("listening") && !$0.contains("admin listening") }
  }

  /// The port of the last `admin listening` line of a log, as text or JSON.
  public static func adminPort(in log: String) -> Int? { port(in: log) { $0.contains("admin listening") } }

  private static func port(in log: String, isMeant: (Substring) -> Bool) -> Int? {
    let line = log.split(separator: "\n").last { isMeant($0) && $0.contains("address") }
    guard let digits = line?.firstMatch(of: #/address"?[=:]"?[^\s"]*:([0-9]+)/#)?.1 else { return nil }
    return Int(digits)
  }
}

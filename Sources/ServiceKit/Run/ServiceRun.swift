import Foundation
import Logging
import Metrics
import RPC
import Storage

/// One run of a service, from its command line to its exit code.
struct ServiceRun: Sendable {
  typealias Make = @Sendable (ServiceEnvironment) async throws -> ServiceDefinition

  let name: ServiceName
  let declarations: [any SettingDeclaration]
  let stops = StopRequests()
  /// Takes `--help`'s text.
  var output: @Sendable (String) -> Void = { print($0, terminator: "") }
  /// Takes lines of the log, and errors from before there is one.
  var errors: @Sendable (String) -> Void = { StandardError.write($0) }
  /// Whether signals and standard input, which belong to the whole process, are listened to.
  var isWholeProcess = false

  init(_ name: ServiceName, settings: [any SettingDeclaration]) {
    self.name = name
    declarations = CommonSettings.all(name) + settings
  }

  private var program: String { "buddy-\(name.rawValue)" }

  func run(arguments: [String], environment: [String: String], _ make: Make) async -> ExitCode {
    do {
      let settings = try Settings(declarations, arguments: arguments, environment: environment, service: name)
      if settings.asksForHelp {
        output(Settings.help(program, declarations))
        return .success
      }
      if settings.asksForConfiguration {
        output(settings.listing)
        return .success
      }
      try LoopbackGuard.check(settings, name)
      return try await run(settings, make)
    } catch let error as SettingError {
      errors("\(program): \(LogText.oneLine(error.description))\nTry '\(program) --help'.\n")
      return .usage
    } catch {
      errors("\(program): \(LogText.oneLine("\(error)"))\n")
      return .failure
    }
  }

  private func run(_ settings: Settings, _ make: Make) async throws -> ExitCode {
    let logger = makeLogger(settings)
    logger.info(
      "configuration",
      metadata: Dictionary(
        uniqueKeysWithValues: settings.effective.map { ($0.name, .string("\($0.value) (\($0.source))")) }))
    let tls = try ServiceTLS(name, settings, logger: logger)
    if tls?.server == nil, !LoopbackGuard.isLoopback(settings[CommonSettings.host]) {
      logger.warning("other machines can reach this service, which has no accounts and no encryption yet")
    }
    if isWholeProcess {
      await stops.observeSignals(limit: settings[CommonSettings.shutdownGrace] + .seconds(10))
      if settings[CommonSettings.exitWithParent] { stops.observeParent() }
    }
    // First, for whoever makes a counter gets it from where metrics go at that time.
    let metrics = makeMetrics()
    let traces = try Traces(name, settings, logger: logger)
    let environment = ServiceEnvironment(
      name: name, settings: settings, logger: logger, metrics: metrics, tracer: traces.tracer, tls: tls)
    do {
      // Restoring is over before anybody could look at it.
      let isRestoring = name != .gateway && !settings[CommonSettings.restoreFrom].isEmpty
      let code =
        isRestoring
        ? try await run(environment, make) : try await withAdminPort(environment) { try await run(environment, make) }
      await traces.shutdown()
      return code
    } catch {
      await traces.shutdown()
      throw error
    }
  }

  /// Everything from the making of the service to its end.
  private func run(_ environment: ServiceEnvironment, _ make: Make) async throws -> ExitCode {
    let logger = environment.logger
    let definition: ServiceDefinition
    do {
      definition = try await make(environment)
    } catch let error as SettingError {
      throw error
    } catch is StateRestore.Done {
      logger.info("restored", metadata: ["backup": "\(environment.settings[CommonSettings.restoreFrom])"])
      return .success
    } catch {
      logger.critical("cannot start", metadata: ["error": "\(error)"])
      await environment.closeClients()
      return Self.code(for: error)
    }
    let code = await serve(definition, environment)
    await definition.stop?()
    await environment.closeClients()
    logger.info("stopped")
    return code
  }

  /// Listens, serves until something asks to stop, and lets what runs finish.
  private func serve(_ definition: ServiceDefinition, _ environment: ServiceEnvironment) async -> ExitCode {
    let (settings, logger) = (environment.settings, environment.logger)
    let listener = listener(definition, environment)
    do {
      let address = try await listener.start(
        host: settings[CommonSettings.host], port: settings[CommonSettings.port(name)])
      environment.readiness.enter(.serving)
      logger.info("listening", metadata: ["address": "\(address.settingText)"])
    } catch let error as ListenError {
      logger.critical("\(error)")
      return .unavailable
    } catch {
      logger.critical("cannot start", metadata: ["error": "\(error)"])
      return .failure
    }
    return await withTaskGroup(of: Void.self) { group in
      for task in definition.background { group.addTask { await runBackground(task) } }
      group.addTask { await environment.readiness.follow { listener.announce(works: $0) } }
      let reason = await stops.first()
      let code = log(reason, logger)
      // First it is said, so that nobody sends more; then what runs comes to its end.
      environment.readiness.enter(.stopping)
      listener.announceStop()
      await definition.willStop?()
      await listener.shutdown(grace: settings[CommonSettings.shutdownGrace])
      group.cancelAll()
      await group.waitForAll()
      return code
    }
  }

  private func listener(_ definition: ServiceDefinition, _ environment: ServiceEnvironment) -> any Listener {
    switch definition.kind {
    case .gRPC(let router):
      let admin = definition.database.map { database in
        let backups = StateBackup(
          name: name, database: database, files: definition.files, folder: environment.dataDirectory)
        return AdminService(database: database, backups: backups)
      }
      return RPCListener(router, admin: admin, environment)
    case .other(let serve): return OtherListener(serve, stops: stops, logger: environment.logger)
    }
  }

  private func runBackground(_ task: @Sendable () async throws -> Void) async {
    do {
      try await task()
    } catch {
      if !Task.isCancelled { stops.request(.failed(error)) }
    }
  }

  private func log(_ reason: StopReason, _ logger: Logger) -> ExitCode {
    switch reason {
    case .signal(let name): logger.info("stopping", metadata: ["signal": "\(name)"])
    case .parentEnded: logger.info("stopping", metadata: ["reason": "standard input ended"])
    case .failed(let error):
      logger.critical("a part of the service failed, stopping", metadata: ["error": "\(error)"])
      return .failure
    }
    return .success
  }

  private func makeLogger(_ settings: Settings) -> Logger {
    let (format, level, write) = (settings[CommonSettings.logFormat], settings[CommonSettings.logLevel], errors)
    let factory: @Sendable (String) -> any LogHandler = { label in
      var handler = LineLogHandler(label: label, format: format, level: level, write: write)
      handler.metadataProvider = .trace
      return handler
    }
    // Libraries make loggers of their own, which must look the same.
    if isWholeProcess { LoggingSystem.bootstrap(factory) }
    return Logger(label: name.rawValue, factory: factory)
  }

  private func makeMetrics() -> MetricsRegistry {
    let metrics = MetricsRegistry()
    // What libraries count belongs to the process too.
    if isWholeProcess { MetricsSystem.bootstrap(metrics) }
    ProcessMetrics.collect(into: metrics)
    return metrics
  }

  private static func code(for error: any Error) -> ExitCode {
    switch error {
    case StorageError.cannotOpen, StorageError.readOnly, StorageError.diskFull, StorageError.io: .cannotCreate
    case StorageError.unavailable, is InUse: .unavailable
    case is CocoaError, is FileError, is NotEmpty: .cannotCreate
    default: .failure
    }
  }
}

/// What is neither encrypted nor knows its callers is for its own machine: the gateway, admin ports, and services
/// without `--tls-folder`.
enum LoopbackGuard {
  static func check(_ settings: Settings, _ name: ServiceName) throws {
    if settings[CommonSettings.allowNetwork] { return }
    let (host, adminHost) = (settings[CommonSettings.host], settings[CommonSettings.adminHost])
    let isSecured = name != .gateway && !settings[CommonSettings.tlsFolder].isEmpty
    if !isSecured { try check(host, of: CommonSettings.host) }
    if !adminHost.isEmpty {
      try check(adminHost, of: CommonSettings.adminHost)
    } else if isSecured, !isLoopback(host) {
      throw SettingError(
        "the admin port would follow \(CommonSettings.host.flag) \(host), and TLS is not for it: "
          + "give it another address with \(CommonSettings.adminHost.flag) 127.0.0.1, "
          + "or use \(CommonSettings.allowNetwork.flag) if everybody may see it")
    }
  }

  private static func check(_ host: String, of setting: Setting<String>) throws {
    if isLoopback(host) { return }
    throw SettingError(
      "\(setting.flag) \(host) can be reached from other machines, without accounts and encryption: "
        + "anyone who reaches the port could run missions. Use 127.0.0.1, a service's gRPC port with "
        + "\(CommonSettings.tlsFolder.flag), or --insecure-allow-network if that is what you want")
  }

  /// Names are not looked up, but for the one that always means this machine (RFC 6761, section 6.3).
  static func isLoopback(_ host: String) -> Bool {
    var (v4, v6) = (in_addr(), in6_addr())
    if inet_pton(AF_INET, host, &v4) == 1 { return UInt32(bigEndian: v4.s_addr) >> 24 == 127 }
    if inet_pton(AF_INET6, host, &v6) == 1 {
      return withUnsafeBytes(of: v6) { $0.elementsEqual([UInt8](repeating: 0, count: 15) + [1]) }
    }
    return host.lowercased() == "localhost"
  }
}

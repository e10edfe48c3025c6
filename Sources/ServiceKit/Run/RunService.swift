import Foundation

/// A service's whole `main`: reads its settings, makes it, serves until SIGTERM or SIGINT, finishes what runs, and ends
/// the process.
///
/// Every service has the flags `--config`, `--host`, `--port`, `--data`, `--log-level`, `--log-format`,
/// `--otlp-endpoint`, `--trace-sample`, `--shutdown-grace` and `--<peer>-address`, each also as a `BUDDY_*` variable and,
/// but for `--config`, in the file that it names. It listens on loopback only, unless `--insecure-allow-network` or,
/// for its gRPC port, `--tls-folder` is given. The log line `listening` tells its address.
///
/// - Parameters:
///   - settings: What can be set besides.
///   - make: Opens what the service needs and says what it consists of. An error it throws ends the process.
public func runService(
  _ name: ServiceName, settings: [any SettingDeclaration],
  _ make: @escaping @Sendable (ServiceEnvironment) async throws -> ServiceDefinition
) async -> Never {
  // A peer or a log reader that goes away is an error of one write, not the end of the process.
  signal(SIGPIPE, SIG_IGN)
  var run = ServiceRun(name, settings: settings)
  run.isWholeProcess = true
  let code = await run.run(
    arguments: Array(CommandLine.arguments.dropFirst()), environment: ProcessInfo.processInfo.environment, make)
  exit(code.rawValue)
}

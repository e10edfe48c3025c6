import Logging
import NIOPosix

extension ServiceRun {
  /// How long a scrape under way may take when everything else has stopped.
  private static let adminGrace = Duration.seconds(2)

  /// Runs a service with the admin port beside it, which is up before anything else and goes last: it tells how the rest
  /// is while that starts and stops.
  func withAdminPort(
    _ environment: ServiceEnvironment, _ body: () async throws -> ExitCode
  ) async throws -> ExitCode {
    let logger = environment.logger
    let admin = AdminPort(metrics: environment.metrics, readiness: environment.readiness, logger: logger)
    let listener = OtherListener(admin.serve, stops: stops, logger: logger)
    do {
      let address = try await listener.start(
        host: environment.settings.adminHost, port: try environment.settings.adminPort(name))
      logger.info("admin listening", metadata: ["address": "\(address.settingText)"])
    } catch var error as ListenError {
      error.flags = ("--admin-host", "--admin-port")
      logger.critical("\(error)")
      return .unavailable
    }
    let lag = EventLoopLag(MultiThreadedEventLoopGroup.singleton, in: environment.metrics)
    let code: Result<ExitCode, any Error>
    do {
      code = .success(try await body())
    } catch {
      code = .failure(error)
    }
    lag.stop()
    await listener.shutdown(grace: Self.adminGrace)
    return try code.get()
  }
}

extension Settings {
  fileprivate var adminHost: String {
    let host = self[CommonSettings.adminHost]
    return host.isEmpty ? self[CommonSettings.host] : host
  }

  fileprivate func adminPort(_ service: ServiceName) throws -> Int {
    try self[CommonSettings.adminPort].port(besideService: self[CommonSettings.port(service)])
  }
}

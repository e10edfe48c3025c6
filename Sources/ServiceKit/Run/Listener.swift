import Foundation
import Logging
import Messages
import NIOCore
import RPC
import RPCTelemetry
import ServiceLifecycle
import StandardServices
import Stubs
import Synchronization

/// What takes a service's connections.
protocol Listener: Sendable {
  /// Returns where it listens. Throws `ListenError` where the address cannot be had.
  func start(host: String, port: Int) async throws -> PeerAddress
  /// Says whether what is served works, or what it rests on does not answer.
  func announce(works: Bool)
  /// Says from now on that nothing is served, while everything still is.
  func announceStop()
  /// Takes nothing new, lets what runs finish for at most `grace`, and ends.
  func shutdown(grace: Duration) async
}

struct ListenError: Error, CustomStringConvertible {
  let address: PeerAddress
  let reason: String
  /// Somebody else listens there.
  let isInUse: Bool
  /// The flags that change it.
  var flags = (host: "--host", port: "--port")

  var description: String {
    guard isInUse else {
      return "cannot listen on \(address.settingText): \(reason); "
        + "choose another address with \(flags.host) and \(flags.port)"
    }
    return "port \(address.port) is taken by another program; choose another one with \(flags.port) N (0 takes any)"
  }
}

/// A gRPC server with the health, reflection and admin services beside the definition's own.
struct RPCListener: Listener {
  private let server: Server
  private let health: Health

  init(_ router: Router, admin: AdminService?, _ environment: ServiceEnvironment) {
    let logger = environment.logger
    var router = router
    if let admin { router.register(admin) }
    health = Health(services: router.services + [GrpcHealthV1HealthMethods.serviceName] + Reflection.serviceNames)
    router.register(health)
    router.register(Reflection(services: router.services))
    // A span goes outermost, so that what the others log has its ids.
    var interceptors: [any ServerInterceptor] = [
      CallTracing(environment.tracer), CallMetrics.server(environment.metrics, methods: router.methods),
      FailureLog(logger: logger),
    ]
    var options = ServerOptions()
    if let tls = environment.tls {
      options.tls = tls.server
      interceptors.append(tls.accessList)
    }
    server = Server(router: router, options: options, interceptors: interceptors) { line in
      logger.warning("connection cut off", metadata: ["reason": "\(line)"])
    }
  }

  func start(host: String, port: Int) async throws -> PeerAddress {
    do {
      let address = try await server.start(host: host, port: port)
      return PeerAddress(host: address.host, port: address.port)
    } catch let error as BindError {
      throw ListenError(address: PeerAddress(host: host, port: port), reason: error.reason, isInUse: error.isInUse)
    }
  }

  func announce(works: Bool) { health.setAll(works ? .serving : .notServing) }

  func announceStop() { health.stop() }

  func shutdown(grace: Duration) async {
    announceStop()
    await server.shutdown(grace: grace)
  }
}

/// A server that a service brings along, run inside a service group so that it learns of a graceful stop.
final class OtherListener: Listener {
  private let serve: ServiceDefinition.Serve
  private let logger: Logger
  private let stops: StopRequests
  private let running = Mutex<(group: ServiceGroup, task: Task<Void, Never>)?>(nil)

  init(_ serve: @escaping ServiceDefinition.Serve, stops: StopRequests, logger: Logger) {
    self.serve = serve
    self.stops = stops
    // The group tells in detail what this process says in a line.
    var quiet = logger
    quiet.logLevel = max(.warning, logger.logLevel)
    self.logger = quiet
  }

  func start(host: String, port: Int) async throws -> PeerAddress {
    let (outcomes, outcome) = AsyncStream.makeStream(of: Result<Int, any Error>.self)
    let service = ClosureService { [serve] in
      try await serve(host, port) { outcome.yield(.success($0)) }
    }
    let group = ServiceGroup(
      configuration: .init(
        services: [.init(service: service, successTerminationBehavior: .gracefullyShutdownGroup)], logger: logger))
    let task = Task { [stops] in
      do {
        try await group.run()
      } catch {
        outcome.yield(.failure(error))
        stops.request(.failed(error))
      }
      outcome.finish()
    }
    running.withLock { $0 = (group, task) }
    for await result in outcomes {
      do {
        return PeerAddress(host: host, port: try result.get())
      } catch let error as IOError {
        throw ListenError(
          address: PeerAddress(host: host, port: port), reason: "\(error)", isInUse: error.errnoCode == EADDRINUSE)
      }
    }
    throw Status(.internalError, "the server ended before it listened")
  }

  /// Other protocols have no way to say so.
  func announce(works: Bool) {}
  func announceStop() {}

  func shutdown(grace: Duration) async {
    guard let (group, task) = running.withLock({ $0 }) else { return }
    await group.triggerGracefulShutdown()
    let limit = Task {
      try await Task.sleep(for: grace)
      task.cancel()
    }
    await task.value
    limit.cancel()
  }
}

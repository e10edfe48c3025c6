import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import ServiceKit
import ServiceLifecycle

/// What can be set about the gateway.
struct GatewayOptions: Sendable {
  var host = "127.0.0.1"
  /// 0 takes any free port.
  var port = 8420
  /// Names the gateway is reached by besides loopback and `host`.
  var allowedHosts: [String] = []
  /// In bytes.
  var maximumUpload = 256 << 20
  var heartbeat: Duration = .seconds(15)
  /// A connection on which nothing is asked, or whose request stops arriving, is closed after this long.
  var idleTimeout: Duration = .seconds(75)
  /// How long a request's body may take to arrive, other than an upload's.
  var bodyTimeout: Duration = .seconds(30)
  /// How many connections are open at once; more wait to be accepted.
  var maximumConnections = 4096
}

/// The HTTP server in front of the services.
struct Gateway: Sendable {
  let options: GatewayOptions
  let upstreams: Upstreams
  let logger: Logger
  let metrics: GatewayMetrics
  var tracer = ServiceTracer()

  /// Serves until the task is cancelled, or until a graceful shutdown of the service group it runs in is over.
  /// - Parameter onListening: told the port once connections are taken.
  /// - Throws: `IOError` if the address cannot be bound.
  func run(onListening: @escaping @Sendable (Int) async -> Void) async throws {
    let configuration = HTTP1Channel.Configuration(
      additionalChannelHandlers: [
        AbsoluteTargets(), BodyGate(maximumBytes: options.maximumUpload, timeout: options.bodyTimeout),
      ],
      idleTimeout: .nanoseconds(options.idleTimeout.nanoseconds),
      httpDecoderConfiguration: .init(
        maxHeaderFieldSize: 16 << 10, maxHeaderListSize: 32 << 10, maxHeaderFieldCount: 100))
    let application = Application(
      responder: responder(),
      server: .http1(configuration: configuration),
      configuration: ApplicationConfiguration(
        address: .hostname(options.host, port: options.port),
        availableConnectionsDelegate: .maximum(options.maximumConnections, logger: logger)),
      onServerRunning: { channel in await onListening(channel.localAddress?.port ?? options.port) },
      logger: serverLogger)
    try await application.run()
  }

  private func responder() -> RouterResponder<BasicRequestContext> {
    let hostGuard = HostGuard(host: options.host, allowedHosts: options.allowedHosts)
    var routes = RouteTable(
      edge: Edge(hostGuard: hostGuard, logger: logger, metrics: metrics), tracing: RequestTracing(tracer: tracer))
    MissionRoutes(upstreams: upstreams).register(in: &routes)
    EventRoutes(upstreams: upstreams, heartbeat: options.heartbeat, logger: logger, metrics: metrics)
      .register(in: &routes)
    FeedbackRoutes(upstreams: upstreams).register(in: &routes)
    ArtifactRoutes(upstreams: upstreams, maximumUpload: options.maximumUpload).register(in: &routes)
    MoneyRoutes(upstreams: upstreams).register(in: &routes)
    DeliveryRoutes(upstreams: upstreams).register(in: &routes)
    HealthRoutes(upstreams: upstreams).register(in: &routes)
    return routes.responder()
  }

  /// Hummingbird's own lines repeat what ServiceKit and the access log say.
  private var serverLogger: Logger {
    var quiet = logger
    quiet.logLevel = max(.warning, logger.logLevel)
    return quiet
  }
}

extension Duration {
  /// Rounded down; at most 292 years.
  var nanoseconds: Int64 {
    components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000
  }
}

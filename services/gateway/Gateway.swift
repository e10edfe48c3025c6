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
  /// How often an event stream on which nothing happens shows that it stands.
  var heartbeat: Duration = .seconds(15)
  /// A connection on which nothing is asked, or whose request stops arriving, is closed after this long.
  var idleTimeout: Duration = .seconds(75)
  /// How long a request's body may take to arrive, other than an upload's.
  var bodyTimeout: Duration = .seconds(30)
  /// How many connections are open at once; more wait to be accepted.
  var maximumConnections = 4096
  /// Of these, WebSockets.
  var sockets = WebSockets.Options()
  var feeds = EventFeeds.Options()
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
    let hostGuard = HostGuard(host: options.host, allowedHosts: options.allowedHosts)
    let feeds = EventFeeds(upstreams: upstreams, options: options.feeds, logger: logger)
    defer { feeds.close() }
    let application = Application(
      responder: responder(hostGuard, feeds),
      server: server(webSockets(hostGuard, feeds)),
      configuration: ApplicationConfiguration(
        address: .hostname(options.host, port: options.port),
        availableConnectionsDelegate: .maximum(options.maximumConnections, logger: logger)),
      onServerRunning: { channel in await onListening(channel.localAddress?.port ?? options.port) },
      logger: serverLogger)
    try await application.run()
  }

  private func server(_ sockets: WebSockets) -> HTTPServerBuilder {
    let configuration = HTTP1Channel.Configuration(
      additionalChannelHandlers: [
        AbsoluteTargets(), BodyGate(maximumBytes: options.maximumUpload, timeout: options.bodyTimeout),
      ],
      idleTimeout: TimeAmount(options.idleTimeout),
      httpDecoderConfiguration: .init(
        maxHeaderFieldSize: 16 << 10, maxHeaderListSize: 32 << 10, maxHeaderFieldCount: 100))
    return HTTPServerBuilder { responder in
      GatewayChannel(http: HTTP1Channel(responder: responder, configuration: configuration), sockets: sockets)
    }
  }

  private func webSockets(_ hostGuard: HostGuard, _ feeds: EventFeeds) -> WebSockets {
    var options = options.sockets
    options.heartbeat = self.options.heartbeat
    return WebSockets(
      options: options, hostGuard: hostGuard, feeds: feeds, upstreams: upstreams, metrics: metrics, logger: logger)
  }

  private func responder(_ hostGuard: HostGuard, _ feeds: EventFeeds) -> RouterResponder<BasicRequestContext> {
    var routes = RouteTable(
      edge: Edge(hostGuard: hostGuard, logger: logger, metrics: metrics), tracing: RequestTracing(tracer: tracer))
    MissionRoutes(upstreams: upstreams).register(in: &routes)
    EventRoutes(upstreams: upstreams, feeds: feeds, heartbeat: options.heartbeat, logger: logger, metrics: metrics)
      .register(in: &routes)
    AuditRoutes(upstreams: upstreams).register(in: &routes)
    FeedbackRoutes(upstreams: upstreams).register(in: &routes)
    ArtifactRoutes(upstreams: upstreams, maximumUpload: options.maximumUpload).register(in: &routes)
    MoneyRoutes(upstreams: upstreams).register(in: &routes)
    DeliveryRoutes(upstreams: upstreams).register(in: &routes)
    HealthRoutes(upstreams: upstreams).register(in: &routes)
    // Only a connection's first request can make it a WebSocket; it does not come this far.
    routes.get(WebSockets.path) { _, _ in throw WebSocketHandshake.needsUpgrade }
    return routes.responder()
  }

  /// Hummingbird's own lines repeat what ServiceKit and the access log say.
  private var serverLogger: Logger {
    var quiet = logger
    quiet.logLevel = max(.warning, logger.logLevel)
    return quiet
  }
}

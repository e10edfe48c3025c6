import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import NIOHTTPTypes

/// HTTP for those who look after the process, beside the service and on a port of its own:
///
/// - `/metrics`: Prometheus' text exposition format.
/// - `/healthz`: 200 while the process lives.
/// - `/readyz`: 200 while the service does its work; else 503 and a JSON object that names what is not as it should be.
struct AdminPort: Sendable {
  /// Connections at a time; more wait to be accepted.
  private static let maximumConnections = 256
  /// Short, so that connections which say nothing do not keep a probe out for longer than it waits.
  private static let idleTimeout = TimeAmount.seconds(5)

  let metrics: MetricsRegistry
  let readiness: Readiness
  let logger: Logger

  /// Serves until it is told to stop gracefully; see `ServiceDefinition.Serve`.
  func serve(host: String, port: Int, listening: @escaping @Sendable (Int) async -> Void) async throws {
    let configuration = HTTP1Channel.Configuration(
      additionalChannelHandlers: [AdminBodyLimit()], idleTimeout: Self.idleTimeout,
      httpDecoderConfiguration: .init(
        maxHeaderFieldSize: 8 << 10, maxHeaderListSize: 16 << 10, maxHeaderFieldCount: 100))
    let application = Application(
      responder: CallbackResponder<BasicRequestContext> { request, _ in await respond(to: request) },
      server: .http1(configuration: configuration),
      configuration: ApplicationConfiguration(
        address: .hostname(host, port: port),
        availableConnectionsDelegate: .maximum(Self.maximumConnections, logger: serverLogger)),
      onServerRunning: { channel in await listening(channel.localAddress?.port ?? port) },
      logger: serverLogger)
    try await application.run()
  }

  /// Hummingbird's own lines repeat what ServiceKit says.
  private var serverLogger: Logger {
    var quiet = logger
    quiet.logLevel = max(.warning, logger.logLevel)
    return quiet
  }

  func respond(to request: Request) async -> Response {
    let answer: Response
    switch request.uri.path {
    case "/metrics" where request.isReading:
      answer = Self.text(await metrics.exposition(), type: Exposition.contentType)
    case "/healthz" where request.isReading: answer = Self.text("ok\n")
    case "/readyz" where request.isReading: answer = Self.readiness(await readiness.report())
    case "/metrics", "/healthz", "/readyz":
      answer = Self.text(
        "\(request.uri.path) takes GET and HEAD\n", status: .methodNotAllowed,
        headers: [.allow: "GET, HEAD", .connection: "close"])  // for what may follow of a body
    default: answer = Self.text("there are /metrics, /healthz and /readyz\n", status: .notFound)
    }
    return request.method == .head ? answer.createHeadResponse() : answer
  }

  private static func readiness(_ report: Readiness.Report) -> Response {
    let problems = report.problems.sorted { $0.key < $1.key }
      .map { "\(LogText.json($0.key)):\(LogText.json($0.value))" }
    let status = report.isReady ? "READY" : "NOT_READY"
    let head = "\"status\":\"\(status)\",\"phase\":\"\(report.phase.rawValue)\""
    return text(
      "{\(head),\"problems\":{\(problems.joined(separator: ","))}}\n",
      type: "application/json", status: report.isReady ? .ok : .serviceUnavailable)
  }

  private static func text(
    _ text: String, type: String = "text/plain; charset=utf-8", status: HTTPResponse.Status = .ok,
    headers: HTTPFields = [:]
  ) -> Response {
    var headers = headers
    let body = ByteBuffer(string: text)
    headers[.contentType] = type
    headers[.contentLength] = String(body.readableBytes)
    headers[.cacheControl] = "no-store"
    headers[.xContentTypeOptions] = "nosniff"
    return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: body))
  }
}

extension Request {
  fileprivate var isReading: Bool { method == .get || method == .head }
}

/// No answer here needs a body: one that goes on is cut off with its connection.
private final class AdminBodyLimit: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPRequestPart

  private static let maximumBytes = 64 << 10
  private var received = 0

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head: received = 0
    case .body(let bytes):
      received += bytes.readableBytes
      if received > Self.maximumBytes { return context.close(promise: nil) }
    case .end: break
    }
    context.fireChannelRead(data)
  }
}

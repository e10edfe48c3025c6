import Hummingbird
import Metrics
import ServiceKit
import Synchronization

/// How long requests take, by method, route and status, and how many event streams are open.
final class GatewayMetrics: Sendable {
  /// Methods that have series of their own. A client can invent others.
  private static let methods: Set<HTTPRequest.Method> = [
    .get, .head, .post, .put, .patch, .delete, .options, .trace, .connect,
  ]

  private struct Key: Hashable {
    let method: String
    let route: String
    let status: Int
  }

  private let registry: MetricsRegistry
  private let openStreams: Meter
  private let timers = Mutex<[Key: Timer]>([:])

  init(_ registry: MetricsRegistry) {
    self.registry = registry
    registry.declare(BuddySeries.httpServer)
    openStreams = registry.meter(BuddySeries.eventStreams)
    openStreams.set(0)
  }

  /// The answer, with its time taken once its body is written or cannot be.
  ///
  /// - Parameter route: The template that the request's path matched: `/api/v1/missions/{id}`; nil if there is none.
  func measured(
    _ response: Response, to method: HTTPRequest.Method, route: String?, since start: ContinuousClock.Instant
  ) -> Response {
    let timer = timer(method, route, response.status)
    let body = response.body
    var response = response
    response.body = ResponseBody(contentLength: body.contentLength) { writer in
      defer { timer.record(duration: start.duration(to: .now)) }
      try await body.write(writer)
    }
    return response
  }

  /// A WebSocket's subscription counts as a stream.
  func streamOpened() { openStreams.increment() }
  func streamClosed() { openStreams.decrement() }

  /// Counts an event stream while `body` runs.
  func countingStream<Result>(_ body: () async throws -> Result) async rethrows -> Result {
    streamOpened()
    defer { streamClosed() }
    return try await body()
  }

  private func timer(_ method: HTTPRequest.Method, _ route: String?, _ status: HTTPResponse.Status) -> Timer {
    // Hummingbird calls what no route matched by a name, which is no path.
    let template = route.flatMap { $0.hasPrefix("/") ? $0 : nil }
    let key = Key(
      method: Self.methods.contains(method) ? method.rawValue : "unknown", route: template ?? "unknown",
      status: status.code)
    return timers.withLock { timers in
      if let timer = timers[key] { return timer }
      let timer = registry.timer(
        BuddySeries.httpServer,
        labels: [("method", key.method), ("route", key.route), ("code", String(key.status))])
      timers[key] = timer
      return timer
    }
  }
}

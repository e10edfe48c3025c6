import Hummingbird

/// Hummingbird's router plus what it leaves out: 405 with Allow for a path that exists under another method.
struct RouteTable {
  typealias Handler = @Sendable (Request, BasicRequestContext) async throws -> Response

  private let router = Hummingbird.Router(context: BasicRequestContext.self)
  private var methods: [String: Set<HTTPRequest.Method>] = [:]

  init(edge: Edge, tracing: RequestTracing) {
    router.add(middleware: tracing)
    router.add(middleware: edge)
  }

  mutating func get(_ path: String, _ handler: @escaping Handler) {
    on(.get, path, handler)
    // HEAD is GET without its body (RFC 9110 §9.3.2). The body's closure is dropped without being run.
    on(.head, path) { request, context in try await handler(request, context).createHeadResponse() }
  }

  mutating func post(_ path: String, _ handler: @escaping Handler) { on(.post, path, handler) }
  mutating func put(_ path: String, _ handler: @escaping Handler) { on(.put, path, handler) }

  mutating func delete(_ path: String, _ handler: @escaping Handler) { on(.delete, path, handler) }

  private mutating func on(_ method: HTTPRequest.Method, _ path: String, _ handler: @escaping Handler) {
    methods[path, default: []].insert(method)
    router.on(RouterPath(path), method: method, use: handler)
  }

  /// Refuses the other methods of every known path, and ends the registration.
  func responder() -> RouterResponder<BasicRequestContext> {
    let all: [HTTPRequest.Method] = [.get, .head, .post, .put, .patch, .delete, .options, .trace, .connect]
    for (path, known) in methods {
      let allow = known.map(\.rawValue).sorted().joined(separator: ", ")
      for method in all where !known.contains(method) {
        router.on(RouterPath(path), method: method) { request, _ -> Response in
          throw GatewayError(
            status: .methodNotAllowed, code: "METHOD_NOT_ALLOWED",
            message: "\(request.uri.path) takes \(allow), not \(request.method.rawValue).", headers: [.allow: allow])
        }
      }
    }
    return router.buildResponder()
  }
}

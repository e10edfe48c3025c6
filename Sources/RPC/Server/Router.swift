import HTTP2
import NIOCore

/// One registered method, its message types erased: everything behind this works on framed bytes.
final class Route: Sendable {
  let path: String
  /// The path as it comes over the wire.
  fileprivate let bytes: [UInt8]
  /// The handler starts when the request is complete, because it is one message.
  let takesOneMessage: Bool
  /// Runs the handler. What it returns is the response's last message, framed.
  let run: nonisolated(nonsending) @Sendable (ServerCall) async throws -> ByteBuffer?

  init(
    path: String, takesOneMessage: Bool,
    run: nonisolated(nonsending) @escaping @Sendable (ServerCall) async throws -> ByteBuffer?
  ) {
    self.path = path
    bytes = Array(path.utf8)
    self.takesOneMessage = takesOneMessage
    self.run = run
  }
}

/// Which handler serves which method. Message types are erased here, once, at registration.
public struct Router: Sendable {
  private var routes: [String: Route] = [:]
  /// Routes by a hash of the path's bytes, so that a call's path need not become a `String`.
  private var byHash: [UInt64: [Route]] = [:]

  public init() {}

  /// The names of the services that have at least one method, sorted.
  public var services: [String] {
    Set(routes.keys.compactMap { $0.split(separator: "/").first.map(String.init) }).sorted()
  }

  /// The paths of all methods, sorted.
  public var methods: [String] { routes.keys.sorted() }

  /// One request, one response. Registering a path again replaces its handler.
  public mutating func unary<Q, R>(
    _ method: Method<Q, R>, _ handler: nonisolated(nonsending) @escaping @Sendable (Q, ServerContext) async throws -> R
  ) {
    add(method.path, takesOneMessage: true) { call in
      let response = try await handler(call.decodeRequest(method.request), ServerContext(call))
      return try Framing.encode(response, method.response, limit: call.responseLimit)
    }
  }

  /// One request, any number of responses.
  public mutating func serverStreaming<Q, R>(
    _ method: Method<Q, R>,
    _ handler: nonisolated(nonsending) @escaping @Sendable (Q, ResponseWriter<R>, ServerContext) async throws -> Void
  ) {
    add(method.path, takesOneMessage: true) { call in
      let request = try call.decodeRequest(method.request)
      try await handler(request, ResponseWriter(call: call, codec: method.response), ServerContext(call))
      return nil
    }
  }

  /// Any number of requests, one response.
  public mutating func clientStreaming<Q, R>(
    _ method: Method<Q, R>,
    _ handler: nonisolated(nonsending) @escaping @Sendable (RequestStream<Q>, ServerContext) async throws -> R
  ) {
    add(method.path, takesOneMessage: false) { call in
      let response = try await handler(RequestStream(call: call, codec: method.request), ServerContext(call))
      return try Framing.encode(response, method.response, limit: call.responseLimit)
    }
  }

  /// Any number of both, in any order.
  public mutating func bidirectional<Q, R>(
    _ method: Method<Q, R>,
    _ handler:
      nonisolated(nonsending) @escaping @Sendable (RequestStream<Q>, ResponseWriter<R>, ServerContext) async throws
      -> Void
  ) {
    add(method.path, takesOneMessage: false) { call in
      let requests = RequestStream(call: call, codec: method.request)
      try await handler(requests, ResponseWriter(call: call, codec: method.response), ServerContext(call))
      return nil
    }
  }

  private mutating func add(
    _ path: String, takesOneMessage: Bool,
    run: nonisolated(nonsending) @escaping @Sendable (ServerCall) async throws -> ByteBuffer?
  ) {
    let route = Route(path: path, takesOneMessage: takesOneMessage, run: run)
    let hash = Self.hash(path.utf8)
    byHash[hash, default: []].removeAll { $0.path == path }
    byHash[hash, default: []].append(route)
    routes[path] = route
  }

  func route(_ path: ArraySlice<UInt8>) -> Route? {
    byHash[Self.hash(path)]?.first { $0.bytes.elementsEqual(path) }
  }

  /// FNV-1a. A collision only costs a comparison, and peers choose among our paths, not the table's contents.
  private static func hash(_ bytes: some Sequence<UInt8>) -> UInt64 {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in bytes { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    return hash
  }
}

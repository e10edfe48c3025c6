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
  /// Routes by a hash of the path's bytes, so that a call's path need not become a `String`. A power of two of them,
  /// and at least as many as routes.
  private var buckets: [[Route]] = [[]]

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
    routes[path] = route
    while buckets.count < routes.count { buckets += buckets }
    for index in buckets.indices { buckets[index] = [] }
    for route in routes.values { buckets[bucket(route.bytes[...])].append(route) }
  }

  /// - Parameter path: Where the path lies in the request's headers.
  func route(_ headers: HeaderBlock, _ path: Range<Int>) -> Route? {
    let path = headers[path]
    return buckets[bucket(path)].first { $0.bytes.elementsEqual(path) }
  }

  /// A collision only costs a comparison, and peers choose among our paths, not the table's contents. Eight
  /// bytes at a time.
  private func bucket(_ path: ArraySlice<UInt8>) -> Int {
    path.withUnsafeBytes { bytes in
      var hash = UInt64(bytes.count)
      var position = 0
      while position + 8 <= bytes.count {
        hash = (hash ^ bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self)) &* 0x9E37_79B9_7F4A_7C15
        position += 8
      }
      while position < bytes.count {
        hash = (hash ^ UInt64(bytes[position])) &* 0x9E37_79B9_7F4A_7C15
        position += 1
      }
      return Int(truncatingIfNeeded: hash >> 32) & (buckets.count - 1)
    }
  }
}

import AsyncHTTPClient
import Foundation
import Logging
import Messages
import NIOCore
import NIOHTTP1
import RPC
import ServiceKit
import ServiceLifecycle
import Stubs

@testable import GatewayService

/// What stands behind the gateway of one test: real gRPC servers on free ports of loopback.
struct Backend: Sendable {
  var missions = ScriptedMissions()
  var progress = ScriptedProgress()
  var audit = ScriptedAudit()
  var artifacts = ScriptedArtifacts()
  var admin = ScriptedAdmin()
  var health: GrpcHealthV1HealthCheckResponse.ServingStatus = .serving
  /// Services that are not started.
  var down: Set<ServiceName> = []
  var upstreamTimeout: Duration = .seconds(10)
  var configure: @Sendable (inout GatewayOptions) -> Void = { _ in }

  func router(_ name: ServiceName) -> Router {
    var router = Router()
    switch name {
    case .execution: router.register(missions)
    case .progress:
      router.register(progress)
      router.register(audit)
    case .artifact: router.register(artifacts)
    case .learning: router.register(ScriptedLearning())
    case .investment: router.register(ScriptedInvestment())
    default: break
    }
    router.register(admin)
    router.register(ScriptedHealth(status: health))
    return router
  }
}

/// The gateway under test, reached over its socket.
struct TestGateway: Sendable {
  let port: Int
  let group: ServiceGroup
  let upstreams: Upstreams
  let metrics: MetricsRegistry

  var address: String { "http://127.0.0.1:\(port)" }

  /// Sends a request and reads the whole answer.
  func send(
    _ method: String, _ path: String, _ headers: [String: String] = [:], body: String? = nil
  ) async throws -> Answer {
    let response = try await open(method, path, headers, body: body.map { .bytes(ByteBuffer(string: $0)) })
    let bytes = try await response.body.collect(upTo: 64 << 20)
    return Answer(status: response.code, headers: response.headers, body: bytes)
  }

  /// Sends JSON.
  func post(_ path: String, _ json: String, _ headers: [String: String] = [:]) async throws -> Answer {
    let declared = ["Content-Type": "application/json"].merging(headers) { $1 }
    return try await send("POST", path, declared, body: json)
  }

  func get(_ path: String, _ headers: [String: String] = [:]) async throws -> Answer {
    try await send("GET", path, headers)
  }

  /// Sends a request and returns with the answer's head.
  func open(
    _ method: String, _ path: String, _ headers: [String: String] = [:], body: HTTPClientRequest.Body? = nil
  ) async throws -> HTTPClientResponse {
    var request = HTTPClientRequest(url: address + path)
    request.method = .RAW(value: method)
    for (name, value) in headers { request.headers.add(name: name, value: value) }
    request.body = body
    return try await httpClient.execute(request, timeout: .seconds(60))
  }
}

/// As many connections as a test opens; never shut down, for it lasts as long as the process.
private let httpClient: HTTPClient = {
  var configuration = HTTPClient.Configuration()
  configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 1000
  return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
}()

struct Answer: Sendable {
  let status: Int
  let headers: HTTPHeaders
  let body: ByteBuffer

  func header(_ name: String) -> String? { headers.first(name: name) }

  var text: String { String(buffer: body) }

  /// The body as JSON; empty if it is not an object.
  var json: [String: Any] {
    (try? JSONSerialization.jsonObject(with: Data(body.readableBytesView))) as? [String: Any] ?? [:]
  }

  var errorCode: String? { (json["error"] as? [String: Any])?["code"] as? String }
  var errorMessage: String? { (json["error"] as? [String: Any])?["message"] as? String }
  var errorService: String? { (json["error"] as? [String: Any])?["service"] as? String }
}

extension HTTPClientResponse {
  var code: Int { Int(status.code) }
  func header(_ name: String) -> String? { headers.first(name: name) }
}

/// Runs `body` against a gateway in front of `backend`, and stops everything afterwards.
func withGateway(
  _ backend: Backend = Backend(), _ body: @Sendable (TestGateway) async throws -> Void
) async throws {
  var servers: [Server] = []
  var ports: [ServiceName: Int] = [:]
  for name in Upstreams.names where !backend.down.contains(name) {
    let server = Server(router: backend.router(name))
    ports[name] = try await server.start(host: "127.0.0.1", port: 0).port
    servers.append(server)
  }
  let result = await Result<Void, any Error> {
    try await withGateway(ports: ports, timeout: backend.upstreamTimeout, backend.configure, body)
  }
  for server in servers { await server.shutdown(grace: .zero) }
  try result.get()
}

/// Runs `body` against a gateway in front of the services on `ports`; the others are down, for nobody listens on port 1
/// (a port that was free a moment ago may be another test's by now).
func withGateway(
  ports: [ServiceName: Int], timeout: Duration = .seconds(10),
  _ configure: @Sendable (inout GatewayOptions) -> Void = { _ in }, _ body: @Sendable (TestGateway) async throws -> Void
) async throws {
  var options = GatewayOptions()
  options.port = 0
  configure(&options)
  let upstreams = Upstreams(timeout: timeout) { Client(host: "127.0.0.1", port: ports[$0] ?? 1) }
  var logger = Logger(label: "gateway")
  logger.logLevel = .critical
  let metrics = MetricsRegistry()
  let gateway = Gateway(options: options, upstreams: upstreams, logger: logger, metrics: GatewayMetrics(metrics))
  let (listening, port) = AsyncStream.makeStream(of: Int.self)
  let service = Listening(gateway: gateway, port: port)
  let group = ServiceGroup(
    configuration: .init(
      services: [.init(service: service, successTerminationBehavior: .gracefullyShutdownGroup)], logger: logger))
  try await withThrowingTaskGroup(of: Void.self) { tasks in
    tasks.addTask { try await group.run() }
    var iterator = listening.makeAsyncIterator()
    guard let number = await iterator.next() else {
      try await tasks.next()
      throw Status(.unavailable, "the gateway did not start")
    }
    let running = TestGateway(port: number, group: group, upstreams: upstreams, metrics: metrics)
    let result = await Result<Void, any Error> { try await body(running) }
    await group.triggerGracefulShutdown()
    tasks.cancelAll()
    try result.get()
  }
}

private struct Listening: Service {
  let gateway: Gateway
  let port: AsyncStream<Int>.Continuation

  func run() async throws {
    defer { port.finish() }
    try await gateway.run { port.yield($0) }
  }
}

extension Result where Failure == any Error {
  /// The outcome of `body`.
  init(_ body: () async throws -> Success) async {
    do { self = .success(try await body()) } catch { self = .failure(error) }
  }
}

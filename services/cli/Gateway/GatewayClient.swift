import AsyncHTTPClient
import Foundation
import Messages
import NIOCore
import NIOHTTP1

/// The gateway's HTTP API. Every failure is a `CommandError` that names its cause; nothing waits without a bound.
struct GatewayClient: Sendable {
  struct Limits: Sendable {
    var connect: TimeAmount = .seconds(5)
    /// For a whole request and its answer; streams have none.
    var request: TimeAmount = .seconds(60)
    /// Silence after which a connection counts as dead. The gateway says something every 15 s.
    var silence: TimeAmount = .seconds(40)
    /// The largest JSON answer that is taken, in bytes.
    var answer = 32 * 1024 * 1024

    /// For a request that is computed for long, during which nothing is said.
    static let patient = Limits(request: .minutes(10), silence: .minutes(10))
  }

  let address: GatewayAddress
  let limits: Limits
  /// Whose requests these are; empty for nobody in particular.
  let user: String
  private let http: HTTPClient

  /// Runs `body` with a client whose connections are closed afterwards, whatever happens.
  static func with<Result>(
    _ address: GatewayAddress, limits: Limits = Limits(), user: String = "",
    _ body: (GatewayClient) async throws -> Result
  ) async throws -> Result {
    var configuration = HTTPClient.Configuration(
      redirectConfiguration: .disallow, timeout: .init(connect: limits.connect, read: limits.silence))
    // A refused connection is an answer: asking again until the time is up would only delay it.
    configuration.connectionPool.retryConnectionEstablishment = false
    configuration.httpVersion = .http1Only
    let http = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    do {
      let result = try await body(GatewayClient(address: address, limits: limits, user: user, http: http))
      try? await http.shutdown()
      return result
    } catch {
      try? await http.shutdown()
      throw error
    }
  }

  /// Sends a request and decodes its answer.
  func call<Answer: ProtobufMessage>(
    _ method: HTTPMethod, _ path: [String], query: [(String, String)] = [], headers: HTTPHeaders = [:],
    body: HTTPClientRequest.Body? = nil, as answer: Answer.Type = Answer.self
  ) async throws -> Answer {
    let bytes = try await bytes(method, path, query: query, headers: headers, body: body)
    return try WireJSON.decode(Answer.self, from: bytes)
  }

  /// Sends a request and returns its whole answer.
  func bytes(
    _ method: HTTPMethod, _ path: [String], query: [(String, String)] = [], headers: HTTPHeaders = [:],
    body: HTTPClientRequest.Body? = nil, streaming: Bool = false
  ) async throws -> [UInt8] {
    let response = try await open(method, path, query: query, headers: headers, body: body, streaming: streaming)
    return try await translated { Array(buffer: try await response.body.collect(upTo: limits.answer)) }
  }

  /// Sends a request and returns as soon as the answer's head is there. Throws what an error answer says.
  /// - Parameter streaming: without a bound on the whole, only on silence.
  func open(
    _ method: HTTPMethod, _ path: [String], query: [(String, String)] = [], headers: HTTPHeaders = [:],
    body: HTTPClientRequest.Body? = nil, streaming: Bool = false
  ) async throws -> HTTPClientResponse {
    var request = HTTPClientRequest(url: address.url(path, query: query))
    request.method = method
    request.headers = headers
    request.headers.replaceOrAdd(name: "user-agent", value: "buddy/\(Buddy.version)")
    if !user.isEmpty { request.headers.replaceOrAdd(name: "x-buddy-user", value: user) }
    if !request.headers.contains(name: "accept") { request.headers.add(name: "accept", value: "application/json") }
    request.body = body
    let deadline: NIODeadline = streaming ? .distantFuture : .now() + limits.request
    let prepared = request
    return try await translated {
      let response = try await http.execute(prepared, deadline: deadline)
      guard (200..<300).contains(response.status.code) else {
        let body = try await response.body.collect(upTo: 64 * 1024)
        throw GatewayFailure.error(status: response.status, body: Array(buffer: body), address: address)
      }
      return response
    }
  }

  /// Runs `body`, turning the transport's errors into ours.
  func translated<Result>(_ body: () async throws -> Result) async throws -> Result {
    do {
      return try await body()
    } catch let error as CommandError {
      throw error
    } catch let error as CancellationError {
      throw error
    } catch {
      if Task.isCancelled { throw CancellationError() }
      throw GatewayFailure.translate(error, address: address)
    }
  }
}

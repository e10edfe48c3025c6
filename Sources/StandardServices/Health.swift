public import Messages
public import RPC
public import Stubs
import Synchronization

/// grpc.health.v1.Health for the services of one process; "" stands for all of them.
public final class Health: GrpcHealthV1HealthHandler {
  public typealias ServingStatus = GrpcHealthV1HealthCheckResponse.ServingStatus

  private struct State {
    var statuses: [String: ServingStatus]
    var isStopping = false
    var watchers: [Int: AsyncStream<Void>.Continuation] = [:]
    var nextWatcher = 0
  }

  private let state: Mutex<State>

  public init(services: [String]) {
    let statuses = Dictionary((services + [""]).map { ($0, ServingStatus.serving) }) { first, _ in first }
    state = Mutex(State(statuses: statuses))
  }

  /// From now on nothing is served; watchers are told and let go.
  public func stop() {
    let watchers = state.withLock { state in
      state.isStopping = true
      state.statuses = state.statuses.mapValues { _ in .notServing }
      return Array(state.watchers.values)
    }
    for watcher in watchers { watcher.yield() }
  }

  public func check(
    _ request: GrpcHealthV1HealthCheckRequest, _ context: ServerContext
  ) async throws -> GrpcHealthV1HealthCheckResponse {
    guard let status = state.withLock({ $0.statuses[request.service] }) else {
      throw Status(.notFound, "unknown service \"\(request.service)\"")
    }
    return GrpcHealthV1HealthCheckResponse(status: status)
  }

  /// The status now and whenever it changes. An unknown service is SERVICE_UNKNOWN, as the protocol has it. Ends when
  /// the process stops: a stream that stayed would hold up its shutdown.
  public func watch(
    _ request: GrpcHealthV1HealthCheckRequest, _ responses: ResponseWriter<GrpcHealthV1HealthCheckResponse>,
    _ context: ServerContext
  ) async throws {
    let changes = addWatcher()
    var last: ServingStatus?
    for await _ in changes {
      let (status, isStopping) = state.withLock { ($0.statuses[request.service] ?? .serviceUnknown, $0.isStopping) }
      if status != last { try await responses.write(GrpcHealthV1HealthCheckResponse(status: status)) }
      last = status
      if isStopping { throw Status(.unavailable, "the service is stopping") }
    }
    throw CancellationError()
  }

  private func addWatcher() -> AsyncStream<Void> {
    let (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    let id = state.withLock { state in
      state.nextWatcher += 1
      state.watchers[state.nextWatcher] = continuation
      return state.nextWatcher
    }
    continuation.onTermination = { [weak self] _ in
      self?.state.withLock { _ = $0.watchers.removeValue(forKey: id) }
    }
    continuation.yield()
    return stream
  }
}

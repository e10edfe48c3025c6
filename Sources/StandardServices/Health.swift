public import Messages
import NIOConcurrencyHelpers
public import RPC
public import Stubs

/// grpc.health.v1.Health for the services of one process; "" stands for all of them.
public final class Health: GrpcHealthV1HealthHandler {
  public typealias ServingStatus = GrpcHealthV1HealthCheckResponse.ServingStatus

  /// Bytes of a service's name that is asked for, for a watch keeps it as long as it lives.
  static let nameLimit = 256
  /// `list` answers with so many at the most, as gRPC's other servers do.
  static let listLimit = 100

  private struct State {
    /// As set; what is shown while the process stops is NOT_SERVING throughout.
    var statuses: [String: ServingStatus]
    var isStopping = false
    /// By the service they watch, known or not.
    var watchers: [String: [Int: AsyncStream<Void>.Continuation]] = [:]
    var nextWatcher = 0

    func status(of service: String) -> ServingStatus? {
      statuses[service].map { isStopping ? .notServing : $0 }
    }
  }

  private let state: NIOLockedValueBox<State>

  /// All of them are serving.
  public init(services: [String]) {
    let statuses = Dictionary((services + [""]).map { ($0, ServingStatus.serving) }) { first, _ in first }
    state = NIOLockedValueBox(State(statuses: statuses))
  }

  // MARK: - What is said

  /// Sets the status of a service, known or new, or of the whole process (""). Watchers are told; those that do not
  /// read in time see the latest only.
  public func set(_ status: ServingStatus, for service: String) {
    change { state in
      state.statuses[service] = status
      return Array((state.watchers[service] ?? [:]).values)
    }
  }

  /// The same for every service that is known, and the process.
  public func setAll(_ status: ServingStatus) {
    change { state in
      state.statuses = state.statuses.mapValues { _ in status }
      return state.watchers.values.flatMap(\.values)
    }
  }

  /// From now on nothing is served; watchers are told and let go, for a stream that stayed would hold up a shutdown.
  /// What is set meanwhile shows after `resume`.
  public func stop() { setStopping(true) }

  /// Takes `stop` back: everything has the status again that was set last.
  public func resume() { setStopping(false) }

  private func setStopping(_ isStopping: Bool) {
    change { state in
      state.isStopping = isStopping
      return state.watchers.values.flatMap(\.values)
    }
  }

  private func change(_ body: (inout State) -> [AsyncStream<Void>.Continuation]) {
    for watcher in state.withLockedValue({ body(&$0) }) { watcher.yield() }
  }

  /// What a check of the service would say; nil for an unknown one.
  public func status(of service: String) -> ServingStatus? { state.withLockedValue { $0.status(of: service) } }

  // MARK: - What is asked

  public func check(
    _ request: GrpcHealthV1HealthCheckRequest, _ context: ServerContext
  ) async throws -> GrpcHealthV1HealthCheckResponse {
    try Self.checkName(request.service)
    guard let status = status(of: request.service) else {
      throw Status(.notFound, "unknown service \"\(request.service)\"")
    }
    return GrpcHealthV1HealthCheckResponse(status: status)
  }

  public func list(
    _ request: GrpcHealthV1HealthListRequest, _ context: ServerContext
  ) async throws -> GrpcHealthV1HealthListResponse {
    let statuses = state.withLockedValue { state in state.statuses.mapValues { state.isStopping ? .notServing : $0 } }
    guard statuses.count <= Self.listLimit else {
      throw Status(.resourceExhausted, "there are more than \(Self.listLimit) services: check them one by one")
    }
    return GrpcHealthV1HealthListResponse(statuses: statuses.mapValues { GrpcHealthV1HealthCheckResponse(status: $0) })
  }

  private static func checkName(_ name: String) throws {
    guard name.utf8.count <= nameLimit else {
      throw Status(.invalidArgument, "a service's name has at most \(nameLimit) bytes")
    }
  }

  /// The status now and whenever it changes. An unknown service is SERVICE_UNKNOWN until it is set, as the protocol has
  /// it. Ends when the process stops.
  public func watch(
    _ request: GrpcHealthV1HealthCheckRequest, _ responses: ResponseWriter<GrpcHealthV1HealthCheckResponse>,
    _ context: ServerContext
  ) async throws {
    try Self.checkName(request.service)
    let changes = addWatcher(of: request.service)
    var last: ServingStatus?
    for await _ in changes {
      let (status, isStopping) = state.withLockedValue {
        ($0.status(of: request.service) ?? .serviceUnknown, $0.isStopping)
      }
      if status != last { try await responses.write(GrpcHealthV1HealthCheckResponse(status: status)) }
      last = status
      if isStopping { throw Status(.unavailable, "the service is stopping") }
    }
    throw CancellationError()
  }

  private func addWatcher(of service: String) -> AsyncStream<Void> {
    let (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    let id = state.withLockedValue { state in
      state.nextWatcher += 1
      state.watchers[service, default: [:]][state.nextWatcher] = continuation
      return state.nextWatcher
    }
    continuation.onTermination = { [weak self] _ in self?.removeWatcher(id, of: service) }
    continuation.yield()
    return stream
  }

  private func removeWatcher(_ id: Int, of service: String) {
    state.withLockedValue { state in
      state.watchers[service]?[id] = nil
      if state.watchers[service]?.isEmpty == true { state.watchers[service] = nil }
    }
  }

  /// How many watch at this moment.
  var watcherCount: Int { state.withLockedValue { $0.watchers.values.reduce(0) { $0 + $1.count } } }
}

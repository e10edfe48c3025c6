import Messages
import RPC
import ServiceKit
import Stubs

/// The services behind the gateway.
struct Upstreams: Sendable {
  /// Those the gateway asks, in the order in which health lists them.
  static let names: [ServiceName] = [.execution, .progress, .artifact, .learning, .investment]

  /// Those that tell others what happened, and so may have deliveries that were refused.
  static let withOutbox: [ServiceName] = [.execution]

  let missions: MissionsClient
  let progress: ProgressClient
  let audit: AuditClient
  let artifacts: ArtifactsClient
  let learning: LearningClient
  let investment: InvestmentClient
  /// For watches and long polls.
  let progressStreams: StreamClients
  /// For uploads and downloads.
  let artifactStreams: StreamClients
  private let clients: [ServiceName: Client]
  /// The most time one call may take.
  private let timeout: Duration

  /// - Parameter makeClient: a new client for a service, with a connection of its own.
  init(timeout: Duration, makeClient: @escaping @Sendable (ServiceName) -> Client) {
    let clients = Dictionary(uniqueKeysWithValues: Self.names.map { ($0, makeClient($0)) })
    let client = { (name: ServiceName) in clients[name] ?? makeClient(name) }
    self.clients = clients
    self.timeout = timeout
    missions = MissionsClient(client(.execution))
    progress = ProgressClient(client(.progress))
    audit = AuditClient(client(.progress))
    artifacts = ArtifactsClient(client(.artifact))
    learning = LearningClient(client(.learning))
    investment = InvestmentClient(client(.investment))
    progressStreams = StreamClients { makeClient(.progress) }
    artifactStreams = StreamClients { makeClient(.artifact) }
  }

  /// Calls `service` with a deadline.
  /// - Parameter extra: time the call is meant to take, on top of the usual limit.
  /// - Throws: `UpstreamFailure` for every status; what else `body` throws as it is.
  func call<Answer>(
    _ service: ServiceName, extra: Duration = .zero, _ body: (CallOptions) async throws -> Answer
  ) async throws -> Answer {
    do {
      return try await body(.timeout(timeout + extra))
    } catch let status as Status {
      throw UpstreamFailure(service: service, status: status)
    }
  }

  /// For whoever runs the installation; nil for a service that the gateway does not ask.
  func admin(_ service: ServiceName) -> AdminClient? { clients[service].map(AdminClient.init) }

  /// What `service` says of itself (grpc.health.v1), or "UNREACHABLE" without an answer in `limit`.
  func health(of service: ServiceName, within limit: Duration) async -> String {
    guard let client = clients[service] else { return "UNREACHABLE" }
    do {
      let answer = try await GrpcHealthV1HealthClient(client).check(.init(), .timeout(limit))
      return answer.status == .serving ? "SERVING" : "NOT_SERVING"
    } catch {
      // A service without the health protocol is reachable, but nothing says that it serves.
      return (error as? Status)?.code == .unimplemented ? "NOT_SERVING" : "UNREACHABLE"
    }
  }
}

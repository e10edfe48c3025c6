import Messages
import RPC
import ServiceKit
import Stubs

/// A service whose answers a test writes down. What a test does not mention is UNIMPLEMENTED.
struct ScriptedMissions: MissionsHandler {
  var onSubmit: @Sendable (SubmitMissionRequest) async throws -> Mission = { _ in throw unscripted }
  var onGet: @Sendable (GetMissionRequest) async throws -> Mission = { Mission(id: $0.id, state: .running) }
  var onList: @Sendable (ListMissionsRequest) async throws -> ListMissionsResponse = { _ in throw unscripted }
  var onApprove: @Sendable (ApproveMissionRequest) async throws -> Mission = { _ in throw unscripted }
  var onReject: @Sendable (RejectMissionRequest) async throws -> Mission = { _ in throw unscripted }
  var onCancel: @Sendable (CancelMissionRequest) async throws -> Mission = { _ in throw unscripted }
  var onPause: @Sendable (PauseMissionRequest) async throws -> Mission = { _ in throw unscripted }
  var onResume: @Sendable (ResumeMissionRequest) async throws -> Mission = { _ in throw unscripted }
  var onModify: @Sendable (ModifyMissionRequest) async throws -> Mission = { _ in throw unscripted }
  var onAnswer: @Sendable (AnswerMissionRequest) async throws -> Mission = { _ in throw unscripted }
  var onListQueue: @Sendable (ListQueueRequest) async throws -> ListQueueResponse = { _ in throw unscripted }

  func submit(_ request: SubmitMissionRequest, _: ServerContext) async throws -> Mission { try await onSubmit(request) }
  func get(_ request: GetMissionRequest, _: ServerContext) async throws -> Mission { try await onGet(request) }
  func list(_ request: ListMissionsRequest, _: ServerContext) async throws -> ListMissionsResponse {
    try await onList(request)
  }
  func approve(_ request: ApproveMissionRequest, _: ServerContext) async throws -> Mission {
    try await onApprove(request)
  }
  func reject(_ request: RejectMissionRequest, _: ServerContext) async throws -> Mission { try await onReject(request) }
  func cancel(_ request: CancelMissionRequest, _: ServerContext) async throws -> Mission { try await onCancel(request) }
  func pause(_ request: PauseMissionRequest, _: ServerContext) async throws -> Mission { try await onPause(request) }
  func resume(_ request: ResumeMissionRequest, _: ServerContext) async throws -> Mission { try await onResume(request) }
  func modify(_ request: ModifyMissionRequest, _: ServerContext) async throws -> Mission { try await onModify(request) }
  func answer(_ request: AnswerMissionRequest, _: ServerContext) async throws -> Mission { try await onAnswer(request) }
  func listQueue(_ request: ListQueueRequest, _: ServerContext) async throws -> ListQueueResponse {
    try await onListQueue(request)
  }
  func listTools(_: ListToolsRequest, _: ServerContext) async throws -> ListToolsResponse {
    ListToolsResponse(tools: [Tool(name: "calculate")])
  }
}

struct ScriptedProgress: ProgressHandler {
  typealias Watch = @Sendable (WatchEventsRequest, ResponseWriter<ProgressEvent>) async throws -> Void

  var onWatch: Watch = { _, _ in throw unscripted }
  var onList: @Sendable (ListEventsRequest) async throws -> ListEventsResponse = { _ in throw unscripted }
  var onSnapshot: @Sendable (SnapshotRequest) async throws -> ProgressSnapshot = { _ in throw unscripted }
  typealias WatchAll = @Sendable (WatchAllEventsRequest, ResponseWriter<PositionedEvent>) async throws -> Void
  var onWatchAll: WatchAll = { _, _ in throw unscripted }
  /// The initial metadata of a watch of all missions.
  var headOfAll: @Sendable (WatchAllEventsRequest) -> Metadata = { _ in [:] }
  var onListAll: @Sendable (ListAllEventsRequest) async throws -> ListAllEventsResponse = { _ in throw unscripted }

  func record(_: RecordEventsRequest, _: ServerContext) async throws -> RecordEventsResponse { throw unscripted }
  func watch(
    _ request: WatchEventsRequest, _ responses: ResponseWriter<ProgressEvent>, _: ServerContext
  ) async throws { try await onWatch(request, responses) }
  func list(_ request: ListEventsRequest, _: ServerContext) async throws -> ListEventsResponse {
    try await onList(request)
  }
  func snapshot(_ request: SnapshotRequest, _: ServerContext) async throws -> ProgressSnapshot {
    try await onSnapshot(request)
  }
  func watchAll(
    _ request: WatchAllEventsRequest, _ responses: ResponseWriter<PositionedEvent>, _ context: ServerContext
  ) async throws {
    context.sendInitialMetadata(headOfAll(request))
    try await onWatchAll(request, responses)
  }
  func listAll(_ request: ListAllEventsRequest, _: ServerContext) async throws -> ListAllEventsResponse {
    try await onListAll(request)
  }
}

struct ScriptedAudit: AuditHandler {
  var onList: @Sendable (ListAuditRequest) async throws -> ListAuditResponse = { _ in throw unscripted }
  var onExport: @Sendable (ExportAuditRequest, ResponseWriter<AuditEntry>) async throws -> Void = { _, _ in
    throw unscripted
  }

  func list(_ request: ListAuditRequest, _: ServerContext) async throws -> ListAuditResponse {
    try await onList(request)
  }
  func export(
    _ request: ExportAuditRequest, _ responses: ResponseWriter<AuditEntry>, _: ServerContext
  ) async throws { try await onExport(request, responses) }
  func verify(_: VerifyAuditRequest, _: ServerContext) async throws -> VerifyAuditResponse {
    VerifyAuditResponse(entries: 7, brokenAt: 3, problem: "the hash is another")
  }
}

struct ScriptedArtifacts: ArtifactsHandler {
  var onPut: @Sendable (RequestStream<PutArtifactRequest>) async throws -> Artifact = { _ in throw unscripted }
  var onGet: @Sendable (GetArtifactRequest, ResponseWriter<GetArtifactResponse>) async throws -> Void = { _, _ in
    throw unscripted
  }
  var onDescribe: @Sendable (DescribeArtifactRequest) async throws -> Artifact = { _ in throw unscripted }

  func put(_ requests: RequestStream<PutArtifactRequest>, _: ServerContext) async throws -> Artifact {
    try await onPut(requests)
  }
  func get(
    _ request: GetArtifactRequest, _ responses: ResponseWriter<GetArtifactResponse>, _: ServerContext
  ) async throws { try await onGet(request, responses) }
  func describe(_ request: DescribeArtifactRequest, _: ServerContext) async throws -> Artifact {
    try await onDescribe(request)
  }
  func list(_ request: ListArtifactsRequest, _: ServerContext) async throws -> ListArtifactsResponse {
    ListArtifactsResponse(artifacts: [Artifact(id: "a", missionId: request.missionId)])
  }
}

struct ScriptedLearning: LearningHandler {
  func recordOutcome(_: RecordOutcomeRequest, _: ServerContext) async throws -> RecordOutcomeResponse {
    throw unscripted
  }
  func giveFeedback(_ request: GiveFeedbackRequest, _: ServerContext) async throws -> Feedback {
    Feedback(missionId: request.missionId, author: request.author, score: request.score, comment: request.comment)
  }
  func listFeedback(_ request: ListFeedbackRequest, _: ServerContext) async throws -> ListFeedbackResponse {
    ListFeedbackResponse(feedback: [Feedback(missionId: request.missionId)])
  }
  func getMultipliers(_: GetMultipliersRequest, _: ServerContext) async throws -> GetMultipliersResponse {
    throw unscripted
  }
}

struct ScriptedInvestment: InvestmentHandler {
  func listPrices(_: ListPricesRequest, _: ServerContext) async throws -> ListPricesResponse { throw unscripted }
  func estimate(_: EstimateRequest, _: ServerContext) async throws -> EstimateResponse { throw unscripted }
  func reserve(_: ReserveRequest, _: ServerContext) async throws -> Reservation { throw unscripted }
  func settle(_: SettleRequest, _: ServerContext) async throws -> Reservation { throw unscripted }
  func release(_: ReleaseRequest, _: ServerContext) async throws -> Reservation { throw unscripted }
  func getBudget(_: GetBudgetRequest, _: ServerContext) async throws -> Budget {
    Budget(limit: Money(micros: 5_000_000, currency: "USD"))
  }
  func setBudget(_ request: SetBudgetRequest, _: ServerContext) async throws -> Budget { Budget(limit: request.limit) }
  func listLedger(_ request: ListLedgerRequest, _: ServerContext) async throws -> ListLedgerResponse {
    ListLedgerResponse(nextPageToken: "\(request.page?.size ?? 0)/\(request.page?.token ?? "")")
  }
}

struct ScriptedAdmin: AdminHandler {
  var onList: @Sendable (ListRefusedRequest) async throws -> ListRefusedResponse = { _ in throw unscripted }

  func backup(
    _: RequestStream<BackupRequest>, _: ResponseWriter<BackupPart>, _: ServerContext
  ) async throws { throw unscripted }
  func listRefused(_ request: ListRefusedRequest, _: ServerContext) async throws -> ListRefusedResponse {
    try await onList(request)
  }
  func retryRefused(_ request: RetryRefusedRequest, _: ServerContext) async throws -> RefusedDelivery {
    guard request.id == "d-1" else { throw Status(.notFound, "no refused delivery \(request.id)") }
    return RefusedDelivery(id: request.id, topic: "retried")
  }
  func dropRefused(_ request: DropRefusedRequest, _: ServerContext) async throws -> RefusedDelivery {
    guard request.id == "d-1" else { throw Status(.notFound, "no refused delivery \(request.id)") }
    return RefusedDelivery(id: request.id, topic: "dropped")
  }
}

/// grpc.health.v1 with one answer for everything.
struct ScriptedHealth: GrpcHealthV1HealthPartialHandler {
  var status: GrpcHealthV1HealthCheckResponse.ServingStatus

  func check(_: GrpcHealthV1HealthCheckRequest, _: ServerContext) async throws -> GrpcHealthV1HealthCheckResponse {
    GrpcHealthV1HealthCheckResponse(status: status)
  }
  func watch(
    _: GrpcHealthV1HealthCheckRequest, _ responses: ResponseWriter<GrpcHealthV1HealthCheckResponse>, _: ServerContext
  ) async throws { try await responses.write(GrpcHealthV1HealthCheckResponse(status: status)) }
}

let unscripted = Status(.unimplemented, "the test does not script this")

import Messages
import RPC
import Stubs
import Synchronization
import TestSupport

@testable import ExecutionService

/// The services that execution calls, as handlers on a real server, and what they were asked.
final class ScriptedPeers: InvestmentHandler, LearningHandler, ArtifactsHandler {
  struct Calls: Sendable {
    var reserved: [String] = []
    var stored: [String] = []
    var askedForMultipliers = 0
    /// The mission's budget as each reservation named it.
    var budgets: [Int64] = []
  }

  let calls = Mutex(Calls())
  /// While true, no artifact can be stored.
  let refusing = Mutex(false)
  /// Is awaited before each answer to a call of that name: "reserve", "getMultipliers".
  let before = Mutex<@Sendable (String) async -> Void>({ _ in })
  private let price = Money(micros: 100, currency: "USD")

  func estimate(_ request: EstimateRequest, _ context: ServerContext) async throws -> EstimateResponse {
    EstimateResponse(estimates: request.uses.map { Estimate(tool: $0.tool, expected: price, worstCase: price) })
  }

  func reserve(_ request: ReserveRequest, _ context: ServerContext) async throws -> Reservation {
    calls.withLock { calls in
      calls.reserved.append(request.id)
      calls.budgets.append(request.missionBudget?.micros ?? 0)
    }
    await before.withLock { $0 }("reserve")
    return Reservation(id: request.id, state: .held)
  }

  func settle(_ request: SettleRequest, _ context: ServerContext) async throws -> Reservation {
    return Reservation(id: request.id, state: .settled, settled: price)
  }

  /// An answer shorter than the question.
  func getMultipliers(
    _ request: GetMultipliersRequest, _ context: ServerContext
  ) async throws -> GetMultipliersResponse {
    calls.withLock { $0.askedForMultipliers += 1 }
    await before.withLock { $0 }("getMultipliers")
    return GetMultipliersResponse()
  }

  func put(_ requests: RequestStream<PutArtifactRequest>, _ context: ServerContext) async throws -> Artifact {
    var header = PutArtifactHeader()
    var size = 0
    for try await request in requests {
      switch request.part {
      case .header(let given): header = given
      case .chunk(let bytes): size += bytes.count
      case nil: break
      }
    }
    if refusing.withLock({ $0 }) { throw Status(.unavailable, "not now") }
    calls.withLock { $0.stored.append(header.name) }
    return Artifact(id: header.key, name: header.name, mediaType: header.mediaType, size: UInt64(size))
  }

  func describe(_ request: DescribeArtifactRequest, _ context: ServerContext) async throws -> Artifact {
    throw Status(.notFound, "no artifact")
  }

  func get(
    _ request: GetArtifactRequest, _ responses: ResponseWriter<GetArtifactResponse>, _ context: ServerContext
  ) async throws { throw Status(.notFound, "no artifact") }

  func list(_ request: ListArtifactsRequest, _ context: ServerContext) async throws -> ListArtifactsResponse { .init() }
  func release(_ request: ReleaseRequest, _ context: ServerContext) async throws -> Reservation { .init() }
  func listPrices(_ request: ListPricesRequest, _ context: ServerContext) async throws -> ListPricesResponse { .init() }
  func getBudget(_ request: GetBudgetRequest, _ context: ServerContext) async throws -> Budget { .init() }
  func setBudget(_ request: SetBudgetRequest, _ context: ServerContext) async throws -> Budget { .init() }
  func listLedger(_ request: ListLedgerRequest, _ context: ServerContext) async throws -> ListLedgerResponse { .init() }
  func recordOutcome(
    _ request: RecordOutcomeRequest, _ context: ServerContext
  ) async throws -> RecordOutcomeResponse { .init() }
  func giveFeedback(_ request: GiveFeedbackRequest, _ context: ServerContext) async throws -> Feedback { .init() }
  func listFeedback(
    _ request: ListFeedbackRequest, _ context: ServerContext
  ) async throws -> ListFeedbackResponse { .init() }
}

/// A tool that does what a test says.
struct ScriptedTool: ExecutionService.Tool {
  var timeLimit = Duration.seconds(60)
  var hasSideEffects = false
  var isIdempotent = true
  let body: @Sendable (ToolCall, ToolProgress) async throws -> ToolOutput

  var declaration: ToolDeclaration {
    ToolDeclaration(
      name: "calculate", description: "Scripted.", inputSchema: "{}", intents: ["calculation": 0.9],
      hasSideEffects: hasSideEffects, isIdempotent: isIdempotent, risk: .low, timeLimit: timeLimit,
      maximumInputBytes: 1_000, maximumOutputBytes: 1_000)
  }

  func run(_ call: ToolCall, progress: @escaping ToolProgress) async throws -> ToolOutput {
    try await body(call, progress)
  }
}

extension ScriptedTool {
  /// A tool whose first call waits until it is cancelled, and the gate that opens when it has begun.
  static func blockingOnce() -> (tool: ScriptedTool, begun: AsyncStream<Void>) {
    let (begun, begin) = AsyncStream.makeStream(of: Void.self)
    let calls = Mutex(0)
    let tool = ScriptedTool { _, _ in
      let call = calls.withLock { count in
        count += 1
        return count
      }
      begin.finish()
      if call == 1 { try await Task.sleep(for: .seconds(600)) }
      return ToolOutput(text: "42", artifacts: [], bytesRead: 1)
    }
    return (tool, begun)
  }
}

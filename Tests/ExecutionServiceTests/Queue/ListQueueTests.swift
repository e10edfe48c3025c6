import Foundation
import Messages
import RPC
import ServiceKit
import ServiceTestSupport
import Storage
import TestSupport
import Testing

@testable import ExecutionService

@Suite(.timeLimit(.minutes(2))) struct ListQueueTests {
  private func service(_ harness: PipelineHarness, _ runner: MissionRunner) -> MissionsService {
    MissionsService(
      store: harness.store, runner: runner, toolbox: Toolbox(tools: [PipelineHarness.answer]),
      rules: SubmissionRules(toolNames: ["calculate"], currency: "USD", defaultBudget: 1, autoApproveLimit: 1))
  }

  private func list(
    _ service: MissionsService, _ request: ListQueueRequest = .init()
  ) async throws -> ListQueueResponse {
    try await service.listQueue(request)
  }

  @Test(arguments: TestEngine.allCases)
  func whatIsListedFirstIsClaimedFirst(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, PipelineHarness.answer)
    var random = SeededRandom()
    for owner in ["a", "b", "c"] {
      try await harness.fill(owner, 30, since: .seconds(Int.random(in: 1...5_000, using: &random)))
    }
    for _ in 0..<15 {
      _ = try await harness.submit(
        priority: Int32.random(in: -3...3, using: &random), owner: ["a", "d", "e"].randomElement(using: &random) ?? "")
    }
    let terms = QueueTerms()
    let holder = LeaseHolder(id: "a", duration: .seconds(600))
    var running = try await harness.store.claim(by: holder, limit: 4, terms: terms)
    let listed = try await harness.queue(terms, limit: 4)
    #expect(listed.count == 101 && listed.map(\.position) == Array(1...101))
    // As long as time adds nothing, and what has run longest ends first.
    let ahead = listed.prefix(6).map(\.missionId)
    var claimed: [String] = []
    var owners = running.sorted { $0.mission.owner < $1.mission.owner }
    while claimed.count < ahead.count {
      try await harness.end([owners.removeFirst()])
      running = try await harness.store.claim(by: holder, limit: 1, terms: terms)
      owners += running
      claimed += running.map(\.mission.id)
    }
    #expect(claimed == ahead)
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases)
  func pagesOwnersAndTotals(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, PipelineHarness.answer)
    try await harness.fill("a", 7)
    try await harness.fill("b", 5, since: .seconds(60))
    let terms = QueueTerms(places: ToolPlaces(ToolLimits(["calculate": 3])))
    let runner = harness.runner("r", limit: 2, terms: terms) { _ in
      try? await Task.sleep(for: .seconds(600))
    }
    await runner.look()
    let service = service(harness, runner)
    let whole = try await list(service)
    #expect(whole.waiting == 10 && whole.entries.count == 10 && whole.nextPageToken.isEmpty)
    #expect(whole.running == 2 && whole.runningLimit == 2)
    #expect(whole.tools == [ToolLoad(tool: "calculate", running: 0, limit: 3)])
    #expect(whole.entries.map(\.position) == Array(1...10))
    #expect(whole.entries.allSatisfy { $0.waitingFor == "a place" && $0.waitingSince != nil })
    var request = ListQueueRequest(page: PageRequest(size: 4))
    var seen: [QueueEntry] = []
    repeat {
      let page = try await list(service, request)
      #expect(page.entries.count <= 4 && page.waiting == 10)
      seen += page.entries
      request.page?.token = page.nextPageToken
    } while request.page?.token.isEmpty == false
    #expect(seen.map(\.missionId) == whole.entries.map(\.missionId))
    let own = try await list(service, ListQueueRequest(owner: "b"))
    #expect(own.entries.map(\.position) == whole.entries.filter { $0.owner == "b" }.map(\.position))
    #expect(own.waiting == 10 && Set(own.entries.map(\.owner)) == ["b"])
    let strange = ListQueueRequest(page: PageRequest(token: Page.token(after: "x")))
    await #expect { try await list(service, strange) } throws: { ($0 as? Status)?.code == .invalidArgument }
    await runner.stopAll()
    await harness.close()
  }

  @Test(arguments: TestEngine.allCases)
  func theEffectivePrioritySaysWhy(_ engine: TestEngine) async throws {
    let harness = try await PipelineHarness(engine, PipelineHarness.answer)
    _ = try await harness.submit(owner: "a")
    let terms = QueueTerms()
    let holder = LeaseHolder(id: "a", duration: .seconds(600))
    #expect(try await harness.store.claim(by: holder, limit: 1, terms: terms).count == 1)
    let behind = try await harness.submit(priority: 5, owner: "a")
    let aged = try await harness.submit(priority: 1, owner: "b")
    try await harness.backdate(aged.id, by: .seconds(200))
    let entries = try await harness.queue(terms, limit: 4)
    #expect(entries.map(\.missionId) == [aged.id, behind.id])
    #expect(entries.map(\.priority) == [1, 5])
    let effective = entries.map(\.effectivePriority)
    #expect(abs(effective[0] - 21) < 5, "200 s of waiting are 20 points")
    #expect(abs(effective[1] + 5) < 5, "a running mission of its owner takes 10 points")
    await harness.close()
  }

  /// The listing is bounded: what is far behind is counted, not ordered.
  @Test func theListEndsAtItsDeepestPosition() async throws {
    let harness = try await PipelineHarness(.sqlite, PipelineHarness.answer)
    try await harness.fill("a", QueueListing.deepest + 5)
    let end = try await harness.store.queue(
      QueueTerms(), limit: 1, owner: "", after: QueueListing.deepest - 2, atMost: 50)
    #expect(end.entries.count == 2 && !end.hasMore && end.waiting == QueueListing.deepest + 5)
    await harness.close()
  }
}

import Messages
import RPC
import ServiceKit
import ServiceTestSupport
import Storage
import Stubs
import Testing

@testable import ProgressService

/// The log over real calls.
@Suite(.timeLimit(.minutes(2))) struct AuditServiceTests {
  private func events(_ range: ClosedRange<UInt64>, of mission: String = "m", actor: String = "") -> [ProgressEvent] {
    range.map { ProgressEvent(missionId: mission, sequence: $0, state: .running, actor: actor) }
  }

  private func withService(
    _ engine: TestEngine, _ body: (_ log: EventLog, _ client: AuditClient) async throws -> Void
  ) async throws {
    let store = try await TestStore(engine)
    let log = EventLog(database: try await store.open(migrations), hub: EventHub())
    var router = Router()
    router.register(AuditService(log: log.audit))
    let server = Server(router: router)
    let port = try await server.start(host: "127.0.0.1", port: 0).port
    try await body(log, AuditClient(Client(host: "127.0.0.1", port: port)))
    await server.shutdown(grace: .seconds(10))
    await log.database.close()
    withExtendedLifetime(store) {}
  }

  private func export(_ client: AuditClient, after number: UInt64 = 0) async throws -> [AuditEntry] {
    var entries: [AuditEntry] = []
    for try await entry in try await client.export(ExportAuditRequest(afterNumber: number)) { entries.append(entry) }
    return entries
  }

  @Test(arguments: TestEngine.allCases) func anExportGoesOnAfterANumber(_ engine: TestEngine) async throws {
    try await withService(engine) { log, client in
      #expect(try await export(client).isEmpty)
      let count = UInt64(AuditLog.readAtOnce + 50)
      _ = try await log.record(events(1...count))
      let all = try await export(client)
      #expect(all.map(\.number) == Array(1...count))
      #expect(try await export(client, after: 37) == Array(all[37...]))
      #expect(try await export(client, after: count).isEmpty)
      #expect(try await export(client, after: count + 1_000).isEmpty)
      await #expect { _ = try await export(client, after: .max) } throws: { ($0 as? Status)?.code == .invalidArgument }
    }
  }

  @Test(arguments: TestEngine.allCases) func aListHasPages(_ engine: TestEngine) async throws {
    try await withService(engine) { log, client in
      _ = try await log.record(events(1...25, of: "n") + events(1...1, actor: "ada") + events(2...11))
      func pages(_ request: ListAuditRequest) async throws -> [[UInt64]] {
        var (request, pages) = (request, [[UInt64]]())
        while true {
          let answer = try await client.list(request)
          pages.append(answer.entries.map(\.number))
          if answer.nextPageToken.isEmpty { return pages }
          request.page?.token = answer.nextPageToken
        }
      }
      let all = try await pages(ListAuditRequest(page: PageRequest(size: 10)))
      #expect(all.map(\.count) == [10, 10, 10, 6])
      #expect(all.flatMap(\.self) == Array(1...36))
      let own = try await pages(ListAuditRequest(page: PageRequest(size: 10), missionId: "m"))
      #expect(own.map(\.count) == [10, 1])
      #expect(try await pages(ListAuditRequest(page: PageRequest(), actor: "ada")).flatMap(\.self).count == 1)
      for page in [PageRequest(size: -1), PageRequest(size: 1_001), PageRequest(token: "x")] {
        await #expect { _ = try await client.list(ListAuditRequest(page: page)) } throws: {
          ($0 as? Status)?.code == .invalidArgument
        }
      }
      let foreign = PageRequest(token: Page.token(after: "mission"))
      await #expect { _ = try await client.list(ListAuditRequest(page: foreign)) } throws: {
        ($0 as? Status)?.code == .invalidArgument
      }
    }
  }

  @Test(arguments: TestEngine.allCases) func aVerificationSaysWhatIsWrong(_ engine: TestEngine) async throws {
    try await withService(engine) { log, client in
      let empty = try await client.verify(VerifyAuditRequest())
      #expect(empty == VerifyAuditResponse(head: [UInt8](repeating: 0, count: 32)))
      _ = try await log.record(events(1...9))
      let whole = try await client.verify(VerifyAuditRequest())
      let entries = try await export(client)
      #expect(whole == VerifyAuditResponse(entries: 9, head: entries[8].hash))
      try await log.database.write { try $0.execute("DELETE FROM audit WHERE number = 4") }
      let broken = try await client.verify(VerifyAuditRequest())
      #expect(
        broken
          == VerifyAuditResponse(entries: 3, head: entries[2].hash, brokenAt: 4, problem: "entry 4: it is missing"))
    }
  }

  /// One who reads slowly holds up nobody: what is recorded meanwhile is stored, and is not a part of the export.
  @Test(arguments: TestEngine.allCases)
  func anExportEndsWhereTheLogEndedWhenItBegan(_ engine: TestEngine) async throws {
    try await withService(engine) { log, client in
      let count = UInt64(AuditLog.readAtOnce * 3)
      _ = try await log.record(events(1...count))
      let stream = try await client.export(ExportAuditRequest())
      var iterator = stream.makeAsyncIterator()
      let first = try await iterator.next()
      #expect(first?.number == 1)
      _ = try await log.record(events(count + 1...count + 500))
      var last = first?.number
      while let entry = try await iterator.next() { last = entry.number }
      #expect(last == count)
    }
  }
}

import Foundation
import Messages
import RPC
import ServiceTestSupport
import Stubs
import TestSupport

/// One PostgreSQL server, one process of each service that execution calls, and as many execution processes on its
/// database as a test wants.
final class SharedDatabase: Sendable {
  private let folder: TemporaryFolder
  private let server: PostgresServer
  private let others: [ServiceProcess]
  private let ports: [String: Int]
  private let progress: ProgressClient
  private let investment: InvestmentClient
  private let artifacts: ArtifactsClient

  init() async throws {
    folder = try TemporaryFolder("shared")
    server = try await PostgresServer()
    var others: [ServiceProcess] = []
    var ports: [String: Int] = [:]
    for name in ["investment", "learning", "progress", "artifact"] {
      let process = try Self.start(name, server, folder)
      ports[name] = try await process.port()
      others.append(process)
    }
    (self.others, self.ports) = (others, ports)
    func client(_ name: String) -> Client { Client(host: "127.0.0.1", port: ports[name] ?? 0) }
    progress = ProgressClient(client("progress"))
    investment = InvestmentClient(client("investment"))
    artifacts = ArtifactsClient(client("artifact"))
  }

  private static func start(
    _ name: String, _ server: PostgresServer, _ folder: TemporaryFolder, _ flags: [String] = []
  ) throws -> ServiceProcess {
    try ServiceProcess(
      "buddy-\(name)", ["--port", "0", "--database", server.url(), "--data", folder.file("data")] + flags, in: folder,
      // Two processes of one service cannot both have its default admin port.
      environment: ["BUDDY_ADMIN_PORT": "0"])
  }

  /// Starts one more execution process, with leases of a second and room for few missions, so that there is a queue.
  func execution(_ flags: String...) async throws -> Execution {
    let peers = ports.flatMap { ["--\($0.key)-address", "127.0.0.1:\($0.value)"] }
    let room = ["--lease-duration", "1s", "--maximum-running", "\(Execution.room)"]
    let process = try Self.start("execution", server, folder, peers + room + flags)
    let client = Client(host: "127.0.0.1", port: try await process.port())
    return Execution(process: process, missions: MissionsClient(client))
  }

  /// Everything that is known of missions, once all events have arrived: a stale write would change some of it.
  func traces(of ids: [String], by execution: Execution) async throws -> Set<MissionTraces> {
    try await withThrowingTaskGroup(of: MissionTraces.self) { group in
      for id in ids {
        group.addTask {
          // First, as it waits for the mission's end.
          let events = try await self.events(of: id)
          let mission = try await execution.mission(id)
          let ledger = try await self.settledLedger(of: id)
          let artifacts = try await self.artifacts.list(ListArtifactsRequest(missionId: id)).artifacts
          return MissionTraces(mission: mission, events: events, ledger: ledger, artifacts: artifacts)
        }
      }
      return try await group.reduce(into: []) { $0.insert($1) }
    }
  }

  /// A succeeded mission's movements, once what it spent has reached the ledger.
  private func settledLedger(of id: String) async throws -> [LedgerEntry] {
    var entries: [LedgerEntry] = []
    try await eventually("\(id) is paid for") {
      entries = try await investment.listLedger(ListLedgerRequest(missionId: id)).entries
      return entries.contains { $0.kind == .settle }
    }
    return entries
  }

  /// A mission's log once it has ended.
  private func events(of id: String) async throws -> [ProgressEvent] {
    var answer = ListEventsResponse()
    try await eventually("the log of \(id) is complete") {
      answer = try await progress.list(ListEventsRequest(missionId: id))
      return answer.complete
    }
    return answer.events
  }
}

/// One of several execution processes.
struct Execution: Sendable {
  /// Missions that it runs at a time.
  static let room = 8

  let process: ServiceProcess
  let missions: MissionsClient

  func submit(_ objective: String) async throws -> String {
    try await missions.submit(SubmitMissionRequest(objective: objective)).id
  }

  func mission(_ id: String) async throws -> Mission { try await missions.get(GetMissionRequest(id: id)) }

  /// How many missions of the database have succeeded.
  func succeeded() async throws -> Int {
    let request = ListMissionsRequest(page: PageRequest(size: 1_000), states: [.succeeded])
    return try await missions.list(request).missions.count
  }

  /// How many missions it took to their end.
  var ended: Int { lines("mission ended") }

  /// How many times it noticed that it had lost a mission to another process, or that it might have.
  var lost: Int { lines("lease was lost") }

  private func lines(_ words: String) -> Int { process.log.split(separator: "\n").count { $0.contains(words) } }
}

struct MissionTraces: Sendable, Hashable {
  let mission: Mission
  let events: [ProgressEvent]
  let ledger: [LedgerEntry]
  let artifacts: [Artifact]
}

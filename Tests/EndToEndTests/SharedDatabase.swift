import Foundation
import Messages
import RPC
import Stubs
import TestSupport

/// One PostgreSQL server, two execution processes that share its database, and one process of each other service.
final class SharedDatabase: Sendable {
  /// Missions that one execution process runs at a time: few, so that there is a queue.
  static let slots = 8

  let folder: TemporaryFolder
  let server: PostgresServer
  let executions: [ServiceProcess]
  /// One client for each execution process.
  let missions: [MissionsClient]
  let progress: ProgressClient
  let investment: InvestmentClient
  let artifacts: ArtifactsClient
  private let others: [ServiceProcess]

  init() async throws {
    folder = try TemporaryFolder("shared")
    server = try await PostgresServer()
    let common = ["--port", "0", "--database", server.url(), "--data", folder.file("data")]
    // Two processes of one service cannot have its default admin port.
    let environment = ["BUDDY_ADMIN_PORT": "0"]
    var others: [ServiceProcess] = []
    var ports: [String: Int] = [:]
    for name in ["investment", "learning", "progress", "artifact"] {
      let process = try ServiceProcess("buddy-\(name)", common, in: folder, environment: environment)
      ports[name] = try await process.port()
      others.append(process)
    }
    let peers = ports.flatMap { ["--\($0.key)-address", "127.0.0.1:\($0.value)"] }
    var executions: [ServiceProcess] = []
    var missions: [MissionsClient] = []
    for _ in 0..<2 {
      let process = try ServiceProcess(
        "buddy-execution", common + peers + ["--lease-duration", "1s", "--maximum-running", "\(Self.slots)"],
        in: folder, environment: environment)
      executions.append(process)
      missions.append(MissionsClient(Client(host: "127.0.0.1", port: try await process.port())))
    }
    (self.others, self.executions, self.missions) = (others, executions, missions)
    func client(_ name: String) -> Client { Client(host: "127.0.0.1", port: ports[name] ?? 0) }
    progress = ProgressClient(client("progress"))
    investment = InvestmentClient(client("investment"))
    artifacts = ArtifactsClient(client("artifact"))
  }

  /// Submits this many missions together, every other one to each process; returns their ids.
  func submit(_ count: Int) async throws -> [String] {
    try await withThrowingTaskGroup(of: String.self) { group in
      for number in 0..<count {
        let client = missions[number % 2]
        group.addTask { try await client.submit(SubmitMissionRequest(objective: "What is \(number) * 7?")).id }
      }
      return try await group.reduce(into: []) { $0.append($1) }
    }
  }

  /// How many missions have succeeded, as one of the processes says.
  func succeeded(_ process: Int) async throws -> Int {
    let request = ListMissionsRequest(page: PageRequest(size: 1_000), states: [.succeeded])
    return try await missions[process].list(request).missions.count
  }

  /// Everything that is known of missions.
  func everything(of ids: [String], from process: Int) async throws -> Set<MissionTraces> {
    try await withThrowingTaskGroup(of: MissionTraces.self) { group in
      for id in ids { group.addTask { try await self.everything(of: id, from: process) } }
      return try await group.reduce(into: []) { $0.insert($1) }
    }
  }

  /// Everything that is known of a mission, of which a stale write would change something.
  private func everything(of id: String, from process: Int) async throws -> MissionTraces {
    let events = ListEventsRequest(missionId: id, wait: GoogleProtobufDuration(.seconds(30)))
    var log = try await progress.list(events)
    // The outbox may still be on its way.
    try await eventually("the log of \(id) is complete") {
      log = try await progress.list(events)
      return log.complete
    }
    return MissionTraces(
      mission: try await missions[process].get(GetMissionRequest(id: id)), events: log.events,
      ledger: try await investment.listLedger(ListLedgerRequest(missionId: id)).entries,
      artifacts: try await artifacts.list(ListArtifactsRequest(missionId: id)).artifacts)
  }

  /// The lines of a process's log with these words.
  func lines(_ process: Int, _ words: String) -> [Substring] {
    executions[process].log.split(separator: "\n").filter { $0.contains(words) }
  }
}

struct MissionTraces: Sendable, Hashable {
  let mission: Mission
  let events: [ProgressEvent]
  let ledger: [LedgerEntry]
  let artifacts: [Artifact]
}

import Foundation
import Logging
import Messages
import RPC
import ServiceTestSupport
import Storage
import Stubs

@testable import ProgressService

/// A progress service as a process has it: a log, its news, and a server on a port of its own.
struct ServedLog: Sendable {
  let log: EventLog
  let client: ProgressClient
  private let connection: Client
  private let server: Server
  private let news: Task<Void, Never>

  static func start(
    on store: TestStore, recent: RecentEvents.Limits = .init(), eventsPerMission: Int = 10_000,
    maximumLag: UInt64 = 10_000
  ) async throws -> ServedLog {
    let database = try await store.open(migrations)
    let log = EventLog(
      database: database, hub: EventHub(), recent: RecentEvents(limits: recent), eventsPerMission: eventsPerMission)
    log.recent.restart(at: try await log.newestPosition())
    var router = Router()
    router.register(ProgressService(log: log, unknownMissionWait: .zero, maximumLag: maximumLag))
    let server = Server(router: router)
    let port = try await server.start(host: "127.0.0.1", port: 0).port
    let connection = Client(host: "127.0.0.1", port: port)
    // No poll helps: what others announce is what wakes.
    let news = EventNews(log: log, logger: Logger(label: "test"), pollInterval: .seconds(3_600))
    return ServedLog(
      log: log, client: ProgressClient(connection), connection: connection, server: server,
      news: Task { await news.run() })
  }

  func stop() async {
    log.hub.close()
    await connection.close()
    await server.shutdown(grace: .seconds(10))
    await log.database.close()
    await news.value
  }

  /// Runs `body` with the services of a database, and stops them.
  static func with<Result>(
    _ engine: TestEngine, count: Int = 1, recent: RecentEvents.Limits = .init(), eventsPerMission: Int = 10_000,
    maximumLag: UInt64 = 10_000, _ body: ([ServedLog]) async throws -> Result
  ) async throws -> Result {
    let store = try await TestStore(engine)
    var all: [ServedLog] = []
    for _ in 0..<count {
      all.append(
        try await start(on: store, recent: recent, eventsPerMission: eventsPerMission, maximumLag: maximumLag))
    }
    do {
      let result = try await body(all)
      for served in all { await served.stop() }
      return withExtendedLifetime(store) { result }
    } catch {
      for served in all { await served.stop() }
      throw error
    }
  }

  /// A mission's events until it ends, or until there are `count`.
  func watch(
    _ mission: String, after sequence: UInt64 = 0, coalesceAfter: UInt32 = 0, count: Int = .max
  ) async throws -> [ProgressEvent] {
    var seen: [ProgressEvent] = []
    let request = WatchEventsRequest(missionId: mission, afterSequence: sequence, coalesceAfter: coalesceAfter)
    for try await event in try await client.watch(request) {
      seen.append(event)
      if seen.count >= count { break }
    }
    return seen
  }

  func watchAll(_ request: WatchAllEventsRequest, count: Int) async throws -> [PositionedEvent] {
    var seen: [PositionedEvent] = []
    for try await event in try await client.watchAll(request) {
      seen.append(event)
      if seen.count >= count { break }
    }
    return seen
  }

  @discardableResult
  func record(_ events: [ProgressEvent]) async throws -> Int { try await log.record(events) }
}

extension ProgressSnapshot {
  /// Where a mission stands, folded from all of its events.
  init(missionID: String, events: [ProgressEvent], now: Date) {
    var fold = MissionFold(missionID)
    for event in events { fold.take(event) }
    self = fold.snapshot(at: now)
  }
}

/// Events as the execution service makes them.
enum Events {
  static func progress(
    _ range: ClosedRange<UInt64>, of mission: String = "m", step: Step = .execution, facts: MissionFacts? = nil
  ) -> [ProgressEvent] {
    range.map {
      ProgressEvent(
        missionId: mission, sequence: $0, type: .stepProgress, step: step, state: .running,
        facts: $0 == 1 ? facts : nil)
    }
  }

  static func state(
    _ state: MissionState, _ sequence: UInt64, of mission: String = "m", at seconds: Double? = nil,
    facts: MissionFacts? = nil
  ) -> ProgressEvent {
    ProgressEvent(
      missionId: mission, sequence: sequence,
      time: seconds.map { GoogleProtobufTimestamp(Date(timeIntervalSince1970: $0)) }, type: .stateChanged,
      state: state, facts: facts)
  }
}

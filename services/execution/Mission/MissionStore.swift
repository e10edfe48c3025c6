import Foundation
import Messages
import RPC
import ServiceKit
import Storage

/// The missions table, the submissions' keys and the tool outputs. A mission, its events and whatever else follows
/// from a change are written in one transaction.
struct MissionStore: Sendable {
  /// The topics of the outbox.
  enum Topic {
    /// The events of one transaction each: a RecordEventsRequest.
    static let events = "events"
    /// One event each; of databases from before `events`, and not added any more.
    static let progress = "progress"
    static let investment = "investment"
    static let settlement = "settlement"
    static let learning = "learning"
    /// Wakes those who run missions: one waits, was ended, or lost who ran it. No rows.
    static let missions = "missions"
    /// Wakes those who keep deadlines: one was set or changed. No rows.
    static let deadlines = "deadlines"
  }

  let database: Database

  /// Stores a new mission, or gives the one the same owner and idempotency key made before, as it was then.
  ///
  /// Throws `Status` ALREADY_EXISTS if that one came from another request.
  func insert(_ mission: Mission, effects: [Effect], from request: SubmitMissionRequest) async throws -> Mission {
    let trace = TraceContext.currentText
    var mission = mission
    mission.version = 1
    guard !mission.idempotencyKey.isEmpty else {
      return try await database.write { [mission] in try Self.insert(mission, effects, trace, $0) }
    }
    let body = try request.bytes()
    return try await database.write { [mission] connection in
      do {
        let reply = try Idempotency.once(
          owner: mission.owner, key: mission.idempotencyKey, body: body, in: connection
        ) { try Self.insert(mission, effects, trace, connection).bytes() }
        return try Mission(wire: reply)
      } catch let error as Idempotency.AnotherBody {
        throw Status(.alreadyExists, "\(error)")
      }
    }
  }

  private static func insert(
    _ mission: Mission, _ effects: [Effect], _ trace: String, _ connection: WriteConnection
  ) throws -> Mission {
    if mission.state == .approved { connection.notify(Topic.missions) }
    let sequence = try write(effects, of: mission.id, after: 0, trace, connection)
    try connection.execute(
      """
      INSERT INTO missions (id, owner, state, priority, last_sequence, record, trace_parent, deadline_us, recipe)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
      """, mission.id, mission.owner, Int(mission.state.rawValue), Int(mission.priority), sequence,
      try mission.bytes(), trace, mission.keptDeadline, mission.recipe)
    try followInQueue(mission, after: nil, connection)
    announceDeadline(mission, after: nil, connection)
    return mission
  }

  /// Throws `Status` NOT_FOUND.
  func mission(_ id: String) async throws -> Mission {
    try await database.read { try Self.load(id, $0).mission }
  }

  /// Applies transitions in one transaction, after `prepare` has set what they rest on (an intent, a choice, a result).
  ///
  /// - Parameters:
  ///   - expectedVersion: the version the caller has seen; 0 for any.
  ///   - lease: what the mission is run under; nil for the command of a person, who needs none.
  ///   - additional: effects beyond those of the transitions.
  ///   - alongside: what else is written in the transaction.
  /// - Returns: the mission as it is then. Nothing is written if the transitions have no effects.
  ///
  /// Throws `LeaseLost`, changing nothing, where somebody else has claimed the mission since.
  @discardableResult
  func change(
    _ id: String, expectedVersion: Int64 = 0, under lease: HeldLease? = nil, _ transitions: [Transition],
    prepare: @escaping @Sendable (inout Mission) -> Void = { _ in }, effects additional: [Effect] = [],
    alongside: @escaping @Sendable (WriteConnection) throws -> Void = { _ in }
  ) async throws -> Mission {
    let trace = TraceContext.currentText
    let mission = try await database.write { connection in
      try lease?.lease.check(in: connection)
      let mission = try Self.change(
        id, expectedVersion: expectedVersion, transitions, prepare: prepare, effects: additional, trace: trace,
        connection)
      try alongside(connection)
      if mission.state.isTerminal {
        try Self.endOutput(of: mission, connection)
        try lease?.lease.drop(in: connection)
      }
      if lease == nil { connection.notify(Topic.missions) }
      return mission
    }
    if mission.state.isTerminal { lease?.end(.released) }
    return mission
  }

  /// Newest first; those older than the mission `before` if that is not empty.
  func list(
    states: [MissionState], owner: String, recipe: String = "", before: String, limit: Int
  ) async throws -> [Mission] {
    let wanted = states.map { String($0.rawValue) }.joined(separator: ",")
    var condition = wanted.isEmpty ? "" : "AND state IN (\(wanted))"
    var arguments: [any ValueConvertible] = [owner, before, limit]
    if !recipe.isEmpty {
      // Both parts: the index holds only missions that have a recipe.
      condition += " AND recipe = $4 AND recipe <> ''"
      arguments.append(recipe)
    }
    return try await database.read { [condition, arguments] connection in
      try connection.rows(
        """
        SELECT record FROM missions WHERE ($1 = '' OR owner = $1) AND ($2 = '' OR id < $2) \(condition)
        ORDER BY id DESC LIMIT $3
        """, arguments: arguments
      ).map { try Mission(wire: try $0.blob("record")) }
    }
  }

  /// How many missions are in each state; states that none is in are left out. Read from an index alone.
  func countByState() async throws -> [MissionState: Int] {
    try await database.read { connection in
      let rows = try connection.rows("SELECT state, count(*) AS n FROM missions GROUP BY state")
      return try rows.reduce(into: [:]) { counts, row in
        counts[MissionState(rawValue: Int32(clamping: try row.int64("state")))] = try row.int("n")
      }
    }
  }

  // MARK: - Tool outputs

  static func keep(_ output: StoredToolOutput, of missionID: String, _ connection: WriteConnection) throws {
    try connection.execute(
      """
      INSERT INTO tool_outputs (mission_id, output) VALUES ($1, $2)
      ON CONFLICT (mission_id) DO UPDATE SET output = excluded.output, begun_call = ''
      """, missionID, try output.bytes())
  }

  func output(of missionID: String) async throws -> StoredToolOutput? {
    try await database.read { connection in
      try connection.first(
        "SELECT output FROM tool_outputs WHERE mission_id = $1 AND begun_call = ''", missionID
      ).map { try StoredToolOutput(wire: try $0.blob("output")) }
    }
  }

  // MARK: - Within one transaction

  /// - Parameter trace: the `traceparent` of what causes the change; the submission's where that is not traced.
  static func change(
    _ id: String, expectedVersion: Int64 = 0, _ transitions: [Transition], prepare: (inout Mission) -> Void = { _ in },
    effects additional: [Effect] = [], trace: String = "", _ connection: WriteConnection
  ) throws -> Mission {
    try make(
      id, expectedVersion: expectedVersion, transitions, prepare: prepare, effects: additional, trace: trace, connection
    ).mission
  }

  /// As `change`, which gives the mission alone; `sequence` is the number of its last event.
  static func make(
    _ id: String, expectedVersion: Int64 = 0, _ transitions: [Transition], prepare: (inout Mission) -> Void = { _ in },
    effects additional: [Effect] = [], trace: String = "", at now: Date = Date(), _ connection: WriteConnection
  ) throws -> (mission: Mission, sequence: Int64) {
    let stored = try load(id, connection)
    try stored.mission.check(version: expectedVersion)
    var mission = stored.mission
    let effects = try mission.change(by: transitions, prepare: prepare, at: now) + additional
    guard !effects.isEmpty else { return (stored.mission, stored.sequence) }
    let change = Change(former: stored.mission, mission: mission, transitions: transitions, effects: effects)
    let trace = trace.isEmpty ? stored.trace : trace
    let last = try store(change, after: stored.sequence, trace: trace, connection)
    return (mission, last ?? stored.sequence)
  }

  /// What is written of a mission at once, worked out beforehand.
  struct Change: Sendable {
    let former: Mission
    let mission: Mission
    /// What led from the one to the other.
    let transitions: [Transition]
    let effects: [Effect]
  }

  /// Writes a changed mission and what follows from the change; gives the number of its last event, or nil, having
  /// written nothing, where the stored mission's last event is not `sequence`: another change came in between.
  static func store(
    _ change: Change, after sequence: Int64, trace: String, _ connection: WriteConnection
  ) throws -> Int64? {
    let mission = change.mission
    let isStored = try connection.execute(
      """
      UPDATE missions SET state = $2, last_sequence = $3, record = $4, priority = $5, deadline_us = $6,
        stop_wanted = coalesce($7, stop_wanted)
      WHERE id = $1 AND last_sequence = $8
      """, mission.id, Int(mission.state.rawValue), sequence + change.effects.eventCount, try mission.bytes(),
      Int(mission.priority), mission.keptDeadline,
      change.transitions.stopWanted(before: change.former, after: mission), sequence)
    guard isStored == 1 else { return nil }
    try followInQueue(mission, after: change.former, connection)
    announceDeadline(mission, after: change.former, connection)
    return try write(change.effects, of: mission.id, after: sequence, trace, connection)
  }

  static func load(
    _ id: String, _ connection: some ReadConnection
  ) throws -> (mission: Mission, sequence: Int64, trace: String) {
    guard
      let row = try connection.first("SELECT record, last_sequence, trace_parent FROM missions WHERE id = $1", id)
    else {
      throw Status(.notFound, "no mission \(id)")
    }
    return (
      try Mission(wire: try row.blob("record")), try row.int64("last_sequence"), try row.text("trace_parent")
    )
  }

  /// Numbers the events and writes all effects to the outbox, the events as one message; gives the last number.
  private static func write(
    _ effects: [Effect], of id: String, after sequence: Int64, _ trace: String, _ connection: WriteConnection
  ) throws -> Int64 {
    func add(_ topic: String, _ message: some ProtobufMessage) throws {
      try Outbox.add(topic: topic, key: id, payload: try message.bytes(), traceParent: trace, in: connection)
    }
    var request = RecordEventsRequest()
    for effect in effects {
      switch effect {
      case .event(var event):
        event.sequence = UInt64(sequence) + UInt64(request.events.count) + 1
        request.events.append(event)
      case .releaseReservation: try add(Topic.investment, ReleaseRequest(id: id))
      case .settleReservation(let request): try add(Topic.settlement, request)
      case .recordOutcome(let request): try add(Topic.learning, request)
      }
    }
    if !request.events.isEmpty { try add(Topic.events, request) }
    return sequence + Int64(request.events.count)
  }
}

extension Mission {
  /// Applies a change of one transaction; gives its effects. Throws as `apply` does.
  mutating func change(
    by transitions: [Transition], prepare: (inout Mission) -> Void = { _ in }, at now: Date = Date()
  ) throws -> [Effect] {
    prepare(&self)
    let effects = try apply(transitions, at: now)
    version += 1
    updatedAt = GoogleProtobufTimestamp(now)
    return effects
  }
}

extension [Effect] {
  var eventCount: Int64 {
    reduce(0) { count, effect in if case .event = effect { count + 1 } else { count } }
  }
}

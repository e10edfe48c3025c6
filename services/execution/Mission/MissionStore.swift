import Foundation
import Messages
import NIOCore
import RPC
import Storage

/// The missions table, the submissions and the tool outputs. A mission, its events and whatever else follows from a
/// change are written in one transaction.
struct MissionStore: Sendable {
  /// The topics of the outbox.
  enum Topic {
    static let progress = "progress"
    static let investment = "investment"
    static let settlement = "settlement"
    static let learning = "learning"
    /// Events that the progress service will never take, kept to be looked at.
    static let refusedProgress = "progress-refused"
    /// Wakes those who run missions: one waits, was ended, or lost who ran it. No rows.
    static let missions = "missions"
  }

  let database: Database

  /// Stores a new mission, or gives the one the same owner and idempotency key made before.
  ///
  /// Throws `Status` ALREADY_EXISTS if that one came from another request.
  func insert(_ mission: Mission, effects: [Effect], from request: SubmitMissionRequest) async throws -> Mission {
    try await database.write { connection in
      if !mission.idempotencyKey.isEmpty {
        if let earlier = try Self.earlier(mission, request, connection) { return earlier }
      }
      var mission = mission
      mission.version = 1
      if mission.state == .approved { connection.notify(Topic.missions) }
      let sequence = try Self.write(effects, of: mission.id, after: 0, connection)
      try connection.execute(
        "INSERT INTO missions (id, owner, state, priority, last_sequence, record) VALUES ($1, $2, $3, $4, $5, $6)",
        mission.id, mission.owner, Int(mission.state.rawValue), Int(mission.priority), sequence,
        try mission.bytes())
      if !mission.idempotencyKey.isEmpty {
        try connection.execute(
          "INSERT INTO submissions (owner, idempotency_key, mission_id, request) VALUES ($1, $2, $3, $4)",
          mission.owner, mission.idempotencyKey, mission.id, try request.bytes())
      }
      return mission
    }
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
    let mission = try await database.write { connection in
      try lease?.lease.check(in: connection)
      let mission = try Self.change(
        id, expectedVersion: expectedVersion, transitions, prepare: prepare, effects: additional, connection)
      try alongside(connection)
      if mission.state.isTerminal {
        try Self.dropOutput(of: id, connection)
        try lease?.lease.drop(in: connection)
      }
      if lease == nil { connection.notify(Topic.missions) }
      return mission
    }
    if mission.state.isTerminal { lease?.end(.released) }
    return mission
  }

  /// Newest first; those older than the mission `before` if that is not empty.
  func list(states: [MissionState], owner: String, before: String, limit: Int) async throws -> [Mission] {
    let wanted = states.map { String($0.rawValue) }.joined(separator: ",")
    let condition = wanted.isEmpty ? "" : "AND state IN (\(wanted))"
    return try await database.read { connection in
      try connection.rows(
        """
        SELECT record FROM missions WHERE ($1 = '' OR owner = $1) AND ($2 = '' OR id < $2) \(condition)
        ORDER BY id DESC LIMIT $3
        """, owner, before, limit
      ).map { try Mission(stored: try $0.blob("record")) }
    }
  }

  // MARK: - Tool outputs

  static func keep(_ output: StoredToolOutput, of missionID: String, _ connection: WriteConnection) throws {
    try connection.execute(
      """
      INSERT INTO tool_outputs (mission_id, output) VALUES ($1, $2)
      ON CONFLICT (mission_id) DO UPDATE SET output = excluded.output
      """, missionID, try output.bytes())
  }

  private static func dropOutput(of missionID: String, _ connection: WriteConnection) throws {
    try connection.execute("DELETE FROM tool_outputs WHERE mission_id = $1", missionID)
  }

  func output(of missionID: String) async throws -> StoredToolOutput? {
    try await database.read { connection in
      try connection.first("SELECT output FROM tool_outputs WHERE mission_id = $1", missionID)
        .map { try StoredToolOutput(stored: try $0.blob("output")) }
    }
  }

  // MARK: - Within one transaction

  static func change(
    _ id: String, expectedVersion: Int64 = 0, _ transitions: [Transition], prepare: (inout Mission) -> Void = { _ in },
    effects additional: [Effect] = [], _ connection: WriteConnection
  ) throws -> Mission {
    var (mission, sequence) = try load(id, connection)
    guard expectedVersion == 0 || expectedVersion == mission.version else {
      throw Status(.aborted, "mission \(id) is at version \(mission.version), not \(expectedVersion)")
    }
    let now = Date()
    var changed = mission
    prepare(&changed)
    let effects = try transitions.flatMap { try changed.apply($0, at: now) } + additional
    guard !effects.isEmpty else { return mission }
    mission = changed
    mission.version += 1
    mission.updatedAt = GoogleProtobufTimestamp(now)
    sequence = try write(effects, of: id, after: sequence, connection)
    try connection.execute(
      "UPDATE missions SET state = $2, last_sequence = $3, record = $4 WHERE id = $1",
      id, Int(mission.state.rawValue), sequence, try mission.bytes())
    return mission
  }

  private static func earlier(
    _ mission: Mission, _ request: SubmitMissionRequest, _ connection: WriteConnection
  ) throws -> Mission? {
    let row = try connection.first(
      "SELECT mission_id, request FROM submissions WHERE owner = $1 AND idempotency_key = $2",
      mission.owner, mission.idempotencyKey)
    guard let row else { return nil }
    guard try SubmitMissionRequest(stored: try row.blob("request")) == request else {
      throw Status(
        .alreadyExists, "the idempotency key \"\(mission.idempotencyKey)\" was used for another request before")
    }
    return try load(try row.text("mission_id"), connection).mission
  }

  static func load(
    _ id: String, _ connection: some ReadConnection
  ) throws -> (mission: Mission, sequence: Int64) {
    guard let row = try connection.first("SELECT record, last_sequence FROM missions WHERE id = $1", id) else {
      throw Status(.notFound, "no mission \(id)")
    }
    return (try Mission(stored: try row.blob("record")), try row.int64("last_sequence"))
  }

  /// Numbers the events and writes all effects to the outbox; gives the last number.
  private static func write(
    _ effects: [Effect], of id: String, after sequence: Int64, _ connection: WriteConnection
  ) throws -> Int64 {
    var sequence = sequence
    for effect in effects {
      switch effect {
      case .event(var event):
        sequence += 1
        event.sequence = UInt64(sequence)
        try Outbox.add(topic: Topic.progress, key: id, payload: try event.bytes(), in: connection)
      case .releaseReservation:
        let request = ReleaseRequest(id: id)
        try Outbox.add(topic: Topic.investment, key: id, payload: try request.bytes(), in: connection)
      case .settleReservation(let request):
        try Outbox.add(topic: Topic.settlement, key: id, payload: try request.bytes(), in: connection)
      case .recordOutcome(let request):
        try Outbox.add(topic: Topic.learning, key: id, payload: try request.bytes(), in: connection)
      }
    }
    return sequence
  }
}

extension ProtobufMessage {
  /// The wire form, to be stored.
  func bytes() throws -> [UInt8] {
    var buffer = ByteBuffer()
    try encode(into: &buffer)
    return Array(buffer.readableBytesView)
  }

  init(stored: [UInt8]) throws { try self.init(wire: ByteBuffer(bytes: stored)) }
}

import Messages

extension AuditRecord {
  /// Actors longer than this, in characters, are cut where entries are found by them.
  static let longestActor = 200

  /// Whether what it is found by is what its event says.
  var isFoundByItsEvent: Bool {
    guard let event = try? ProgressEvent(wire: event) else { return false }
    return event.missionId == missionID && event.auditActor == actor
  }
}

extension AuditEntry {
  /// The longest `detail`, in characters. The event has everything.
  static let longestDetail = 1_000

  /// What cannot be read from the event stays empty.
  init(_ record: AuditRecord, previousHash: [UInt8]) {
    self.init(
      number: UInt64(max(record.number, 0)), event: record.event, previousHash: previousHash, hash: record.hash)
    guard let event = try? ProgressEvent(wire: record.event) else { return }
    missionId = event.missionId
    time = event.time
    actor = event.auditActor
    action = event.auditAction
    detail = String(event.auditDetail.prefix(Self.longestDetail))
  }
}

extension ProgressEvent {
  /// Who caused it, cut to what an index takes.
  var auditActor: String {
    let name = [actor, change?.actor ?? ""].first { !$0.isEmpty } ?? "buddy"
    return String(name.prefix(AuditRecord.longestActor))
  }

  /// The command's name, else the event's type: "CANCEL", "STEP_COMPLETED".
  var auditAction: String {
    if let command = change?.command, command != .unspecified {
      return command.protoName.replacing("MISSION_COMMAND_", with: "")
    }
    return type.protoName.replacing("EVENT_TYPE_", with: "")
  }

  /// What it was about, the message, and the reason that was given: "execution: no such column".
  var auditDetail: String {
    let subject = step == .unspecified ? (type == .stateChanged ? state.label : "") : step.label
    var parts = [subject, message]
    if let change {
      if !change.fields.isEmpty { parts.append(change.fields.joined(separator: ", ")) }
      if !message.contains(change.reason) { parts.append(change.reason) }
    }
    return parts.filter { !$0.isEmpty }.joined(separator: ": ")
  }
}

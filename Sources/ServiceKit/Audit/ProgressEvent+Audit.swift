public import Messages

/// What an entry of the audit log says of its event. The rest of its fields are the event's own.
extension ProgressEvent {
  /// Actors longer than this, in characters, are cut where entries are found by them.
  public static let longestAuditActor = 200
  /// The longest `detail`, in characters. The event has everything.
  public static let longestAuditDetail = 1_000

  /// Who caused it, cut to what an index takes; "buddy" where no person did.
  public var auditActor: String {
    let name = [actor, change?.actor ?? ""].first { !$0.isEmpty } ?? "buddy"
    return String(name.prefix(Self.longestAuditActor))
  }

  /// The command's name, else the event's type: "CANCEL", "STEP_COMPLETED".
  public var auditAction: String {
    if let command = change?.command, command != .unspecified {
      return command.protoName.replacing("MISSION_COMMAND_", with: "")
    }
    return type.protoName.replacing("EVENT_TYPE_", with: "")
  }

  /// What it was about, the message, and the reason that was given, cut to what is shown: "execution: no such column".
  public var auditDetail: String {
    let subject = step == .unspecified ? (type == .stateChanged ? state.label : "") : step.label
    var parts = [subject, message]
    if let change {
      if !change.fields.isEmpty { parts.append(change.fields.joined(separator: ", ")) }
      if !message.contains(change.reason) { parts.append(change.reason) }
    }
    return String(parts.filter { !$0.isEmpty }.joined(separator: ": ").prefix(Self.longestAuditDetail))
  }
}

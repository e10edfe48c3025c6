import Messages
import ServiceKit

extension AuditRecord {
  /// Whether what it is found by is what its event says.
  var isFoundByItsEvent: Bool {
    guard let event = try? ProgressEvent(wire: event) else { return false }
    return event.missionId == missionID && event.auditActor == actor
  }
}

extension AuditEntry {
  /// What cannot be read from the event stays empty.
  init(_ record: AuditRecord, previousHash: [UInt8]) {
    self.init(
      number: UInt64(max(record.number, 0)), event: record.event, previousHash: previousHash, hash: record.hash)
    guard let event = try? ProgressEvent(wire: record.event) else { return }
    missionId = event.missionId
    time = event.time
    actor = event.auditActor
    action = event.auditAction
    detail = event.auditDetail
  }
}

import Messages
import ServiceKit

/// Follows the chain of the audit log, entry by entry, and computes every hash anew. Pure.
struct AuditChain: Sendable, Hashable {
  /// The number of the first entry taken; 0 before it.
  private(set) var first: UInt64 = 0
  /// The number of the last entry taken; 0 before the first.
  private(set) var last: UInt64 = 0
  /// The hash of the last entry; 32 zero bytes before the first.
  private(set) var head = AuditHash.beforeFirst

  var count: UInt64 { last == 0 ? 0 : last - first + 1 }

  /// Takes the next entry, or says what is wrong with it. What begins later than with entry 1 is taken as a part: of
  /// its first entry only what is before it stays unchecked.
  mutating func take(_ entry: AuditEntry) -> String? {
    if let problem = problem(entry) { return problem }
    if first == 0 { first = entry.number }
    (last, head) = (entry.number, entry.hash)
    return nil
  }

  private func problem(_ entry: AuditEntry) -> String? {
    if last > 0, entry.number != last + 1 { return "entry \(entry.number) follows entry \(last)" }
    if entry.number == 0 { return "an entry has no number" }
    let isPart = last == 0 && entry.number > 1
    guard isPart ? entry.previousHash.count == AuditHash.size : entry.previousHash == head else {
      return "its previous hash is not the hash of the entry before"
    }
    guard entry.hash == AuditHash.of(entry.event, number: entry.number, after: entry.previousHash) else {
      return "its hash is not that of its content"
    }
    guard let event = try? ProgressEvent(wire: entry.event) else {
      return "its event cannot be read"
    }
    if entry.missionId != event.missionId { return "its mission is not that of its event" }
    if entry.time != event.time { return "its time is not that of its event" }
    if entry.actor != event.auditActor { return "its actor is not that of its event" }
    if entry.action != event.auditAction { return "its action is not that of its event" }
    if entry.detail != event.auditDetail { return "its detail is not that of its event" }
    return nil
  }

  /// `1234 entries, the last hash 1f3a…`.
  var summary: String {
    let amount = count == 1 ? "1 entry" : "\(count) entries"
    let part = first > 1 ? " (from number \(first) on)" : ""
    return "\(amount)\(part), head \(head.hexadecimal)"
  }
}

/// Cuts bytes into lines, however they come.
struct AuditLines {
  static let longest = 4 * 1024 * 1024

  private(set) var rest: [UInt8] = []

  /// The lines that these bytes complete, without their ends. Throws for one that is too long to be an entry.
  mutating func consume(_ bytes: some Sequence<UInt8>) throws -> [[UInt8]] {
    var lines: [[UInt8]] = []
    for byte in bytes {
      if byte == 0x0A {
        if !rest.isEmpty { lines.append(rest) }
        rest.removeAll(keepingCapacity: true)
      } else {
        rest.append(byte)
        if rest.count > Self.longest { throw CommandError.unexpected("a line of the audit log is too long") }
      }
    }
    return lines
  }
}

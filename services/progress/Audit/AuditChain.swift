import ServiceKit

/// The last entry of a log: what the next one is bound to.
struct AuditHead: Sendable, Hashable {
  /// 0 before the first entry.
  var number: Int64 = 0
  var hash = AuditHash.beforeFirst

  /// The head once an entry with this event has been added.
  func following(_ event: [UInt8]) -> AuditHead {
    AuditHead(
      number: number + 1, hash: AuditHash.of(event, number: UInt64(bitPattern: number + 1), after: hash))
  }
}

/// An entry as it is stored.
struct AuditRecord: Sendable, Hashable {
  var number: Int64
  var missionID: String
  var actor: String
  /// A `ProgressEvent` on the wire.
  var event: [UInt8]
  var hash: [UInt8]
}

/// Checks a log entry by entry, from the first, up to the first that does not fit.
struct AuditCheck: Sendable {
  struct Problem: Sendable, Hashable {
    /// At least 1.
    var number: Int64
    var text: String
  }

  /// The last entry that fits.
  private(set) var head = AuditHead()
  private(set) var problem: Problem?
  /// An entry that does not fit; what comes after it tells why. `expected` is what its hash ought to be.
  private var suspect: (record: AuditRecord, expected: AuditHead)?

  mutating func take(_ record: AuditRecord) {
    if problem != nil { return }
    if suspect != nil { return judge { $0.following(record.event).hash == record.hash } }
    let expected = head.following(record.event)
    guard record.number == expected.number else { return miss(upTo: record.number) }
    guard record.hash == expected.hash else {
      suspect = (record, expected)
      return
    }
    guard record.isFoundByItsEvent else {
      return complain(record.number, "its mission or its actor is not the one of its event")
    }
    head = expected
  }

  /// Ends the check.
  /// - Parameters:
  ///   - stored: the head that is stored; nil if there is none.
  ///   - added: how many entries the log has had added; nil if that is not known any more.
  mutating func finish(_ stored: AuditHead?, added: Int64?) {
    compare(stored)
    if problem != nil { return }
    guard let added else { return complain(max(head.number, 1), "where the log began is not known any more") }
    if head.number < added { miss(upTo: added + 1) }
  }

  private mutating func compare(_ stored: AuditHead?) {
    if problem != nil { return }
    if suspect != nil { return judge { $0.hash == stored?.hash } }
    guard let stored else {
      if head.number > 0 { complain(head.number, "the head of the log, which says that it is the last, is missing") }
      return
    }
    if stored.number > head.number {
      miss(upTo: stored.number + 1)
    } else if stored.number < head.number {
      complain(stored.number + 1, "it was added behind the end of the log")
    } else if stored != head {
      complain(max(head.number, 1), "the head of the log has another hash")
    }
  }

  /// Says what is wrong with the suspect, given whether what follows it rests on a head.
  private mutating func judge(_ isFollowed: (AuditHead) -> Bool) {
    guard let (record, expected) = suspect else { return }
    if isFollowed(expected) {
      complain(record.number, "its hash was changed")
    } else if isFollowed(AuditHead(number: record.number, hash: record.hash)) {
      complain(record.number, "its event was changed")
    } else {
      complain(record.number, "it does not follow the entry before: entries were changed, moved, put in or taken out")
    }
  }

  /// The entries after `head` and before `number` are not there.
  private mutating func miss(upTo number: Int64) {
    let (first, last) = (head.number + 1, number - 1)
    guard number > first else { return complain(max(number, 1), "its number \(number) is none of the log's") }
    complain(first, first == last ? "it is missing" : "the entries \(first) to \(last) are missing")
  }

  private mutating func complain(_ number: Int64, _ text: String) {
    problem = Problem(number: number, text: "entry \(number): \(text)")
  }
}

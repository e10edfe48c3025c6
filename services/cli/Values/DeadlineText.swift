import Foundation
import Messages

/// When a mission has to be done: a moment, or a span of time from now.
enum DeadlineText: Sendable, Hashable {
  case at(GoogleProtobufTimestamp)
  case after(Duration)

  /// Takes RFC 3339 (`2030-01-31T18:00:00Z`, `…+01:00`) and `in 2h`, `2h`, `in 1h30m`. Nil for anything else, and for
  /// no time at all.
  init?(_ text: String) {
    let span = text.hasPrefix("in ") ? text.dropFirst(3) : text[...]
    if let duration = DurationText.parse(String(span)), duration > .zero {
      self = .after(duration)
    } else if let time = Self.moment(text) {
      self = .at(time)
    } else {
      return nil
    }
  }

  func resolved(now: Date = Date()) -> GoogleProtobufTimestamp {
    switch self {
    case .at(let time): time
    case .after(let duration): GoogleProtobufTimestamp(now.addingTimeInterval(duration / .seconds(1)))
    }
  }

  /// The JSON form of a timestamp is RFC 3339.
  private static func moment(_ text: String) -> GoogleProtobufTimestamp? {
    guard text.utf8.allSatisfy({ "0123456789TZ:.+-".utf8.contains($0) }) else { return nil }
    return try? ProtoJSON.decode(GoogleProtobufTimestamp.self, from: "\"\(text)\"")
  }
}

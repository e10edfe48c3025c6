/// Spans of time as people write and read them.
enum DurationText {
  /// Parses `30s`, `5m`, `1h30m`, `250ms`, `2d`: whole or decimal numbers, each with a unit, largest unit first or not.
  /// Nil for anything else, for nothing, and for more than 10 years.
  static func parse(_ text: String) -> Duration? {
    var rest = text[...]
    var total = 0.0
    guard !rest.isEmpty else { return nil }
    while !rest.isEmpty {
      let number = rest.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
      rest = rest.dropFirst(number.count)
      let unit = rest.prefix { $0.isASCII && $0.isLetter }
      rest = rest.dropFirst(unit.count)
      guard let first = number.first, first != ".", let value = Double(number), let scale = seconds(in: unit) else {
        return nil
      }
      total += value * scale
    }
    guard total <= 10 * 365 * 86_400 else { return nil }
    return .milliseconds(Int64((total * 1000).rounded()))
  }

  private static func seconds(in unit: Substring) -> Double? {
    switch unit {
    case "ms": 0.001
    case "s": 1
    case "m", "min": 60
    case "h": 3600
    case "d": 86_400
    default: nil
    }
  }

  /// `0:03`, `12:34`, `1:02:03`, `2d 03:04:05`: for something that ticks. Negative spans read as nothing.
  static func clock(_ duration: Duration) -> String {
    let total = max(0, Int(duration.components.seconds))
    let (days, hours, minutes, seconds) = (total / 86_400, total / 3600 % 24, total / 60 % 60, total % 60)
    let tail = twoDigits(seconds)
    if days > 0 { return "\(days)d \(twoDigits(hours)):\(twoDigits(minutes)):\(tail)" }
    if hours > 0 { return "\(hours):\(twoDigits(minutes)):\(tail)" }
    return "\(minutes):\(tail)"
  }

  /// `250 ms`, `3.2 s`, `4 min 5 s`, `2 h 3 min`: for something that is over.
  static func spoken(_ duration: Duration) -> String {
    let (seconds, attoseconds) = duration.components
    let milliseconds = seconds * 1000 + attoseconds / 1_000_000_000_000_000
    switch milliseconds {
    case ..<1000: return "\(max(0, milliseconds)) ms"
    case ..<60_000: return "\(milliseconds / 1000).\(milliseconds % 1000 / 100) s"
    case ..<3_600_000: return "\(seconds / 60) min \(seconds % 60) s"
    default: return "\(seconds / 3600) h \(seconds / 60 % 60) min"
    }
  }

  private static func twoDigits(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
}

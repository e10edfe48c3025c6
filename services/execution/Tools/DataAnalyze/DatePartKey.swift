/// Cuts moments into parts that sort and read well.
enum DatePartKey {
  static func day(_ seconds: Int64) -> Int { Int(seconds >= 0 ? seconds / 86_400 : (seconds - 86_399) / 86_400) }

  /// A number that sorts in time.
  static func key(_ seconds: Int64, _ part: DatePart) -> Int {
    let days = day(seconds)
    let date = DateText.civil(days: days)
    switch part {
    case .year: return date.year
    case .quarter: return date.year * 4 + (date.month - 1) / 3
    case .month: return date.year * 12 + date.month - 1
    case .week: return days - monday(days)
    case .day: return days
    case .hour: return Int((seconds - Int64(days) * 86_400) / 3_600)
    case .monthOfYear: return date.month
    case .weekday: return monday(days)
    }
  }

  /// `2023`, `2023-Q2`, `2023-05`, `2023-05-01`, `14:00`, `May`, `Monday`. A week is named by its Monday.
  static func label(_ key: Int, _ part: DatePart) -> String {
    switch part {
    case .year: return padded(key, 4)
    case .quarter: return "\(padded(key / 4, 4))-Q\(key % 4 + 1)"
    case .month: return "\(padded(key / 12, 4))-\(padded(key % 12 + 1, 2))"
    case .week, .day: return isoDay(key)
    case .hour: return padded(key, 2) + ":00"
    case .monthOfYear: return DateText.months[key - 1].capitalizedFirst
    case .weekday: return ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"][key]
    }
  }

  /// The day, and the time where it is not midnight.
  static func isoText(_ seconds: Int64) -> String {
    let days = day(seconds)
    let rest = Int(seconds - Int64(days) * 86_400)
    if rest == 0 || rest == 86_399 { return isoDay(days) }
    return "\(isoDay(days))T\(padded(rest / 3_600, 2)):\(padded(rest / 60 % 60, 2)):\(padded(rest % 60, 2))"
  }

  static func isoDay(_ days: Int) -> String {
    let date = DateText.civil(days: days)
    return "\(padded(date.year, 4))-\(padded(date.month, 2))-\(padded(date.day, 2))"
  }

  /// 0 for Monday; 1970-01-01 was a Thursday.
  private static func monday(_ days: Int) -> Int { ((days + 3) % 7 + 7) % 7 }

  private static func padded(_ value: Int, _ width: Int) -> String {
    let digits = String(value)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
  }
}

import CMessages
import CProtobufC

typealias CTimestamp = Google__Protobuf__Timestamp
typealias CDuration = Google__Protobuf__Duration
typealias CAny = Google__Protobuf__Any

enum AnyJSON {
  /// "type.googleapis.com/buddy.mission.v1.Mission" names the message after its last slash.
  static func schema(ofURL url: String) -> JSONMessage? {
    guard let slash = url.lastIndex(of: "/") else { return nil }
    return JSONSchema.shared.message(named: String(url[url.index(after: slash)...]))
  }
}

/// Timestamp and Duration as strings: RFC 3339, and decimal seconds with an "s".
enum TimeJSON {
  typealias Parts = (seconds: Int64, nanos: Int32)

  /// 0001-01-01T00:00:00Z to 9999-12-31T23:59:59Z.
  private static let timestampRange: ClosedRange<Int64> = -62_135_596_800...253_402_300_799
  private static let durationRange: ClosedRange<Int64> = -315_576_000_000...315_576_000_000
  private static let secondsPerDay: Int64 = 86_400

  /// Nil if it is out of range.
  static func timestamp(seconds: Int64, nanos: Int32) -> String? {
    guard timestampRange.contains(seconds), (0...999_999_999).contains(nanos) else { return nil }
    let day = (seconds - (seconds % secondsPerDay + secondsPerDay) % secondsPerDay) / secondsPerDay
    let second = seconds - day * secondsPerDay
    let date = civil(day)
    let time = "\(padded(second / 3600, 2)):\(padded(second / 60 % 60, 2)):\(padded(second % 60, 2))"
    let calendar = "\(padded(date.year, 4))-\(padded(date.month, 2))-\(padded(date.day, 2))"
    return "\(calendar)T\(time)\(fraction(nanos))Z"
  }

  /// "2030-01-31T08:00:00.5+01:00". Nil if it is malformed or out of range.
  static func timestamp(_ text: String) -> Parts? {
    var scanner = Scanner(text)
    guard let year = scanner.digits(4), scanner.skip("-"), let month = scanner.digits(2), scanner.skip("-"),
      let day = scanner.digits(2), scanner.skip("T"), let hour = scanner.digits(2), scanner.skip(":"),
      let minute = scanner.digits(2), scanner.skip(":"), let second = scanner.digits(2),
      let nanos = scanner.fraction(), let offset = scanner.offset(), scanner.isAtEnd,
      year >= 1, (1...12).contains(month), day >= 1, day <= daysInMonth(month, year),
      hour < 24, minute < 60, second < 60
    else { return nil }
    let seconds = days(year, month, day) * secondsPerDay + hour * 3600 + minute * 60 + second - offset
    return timestampRange.contains(seconds) ? (seconds, nanos) : nil
  }

  /// Nil if it is out of range, or seconds and nanos have different signs.
  static func duration(seconds: Int64, nanos: Int32) -> String? {
    guard durationRange.contains(seconds), abs(Int64(nanos)) <= 999_999_999,
      seconds == 0 || nanos == 0 || (seconds < 0) == (nanos < 0)
    else { return nil }
    let sign = seconds < 0 || nanos < 0 ? "-" : ""
    return "\(sign)\(seconds.magnitude)\(fraction(Int32(nanos.magnitude)))s"
  }

  /// "-1.5s". Nil if it is malformed or out of range.
  static func duration(_ text: String) -> Parts? {
    var scanner = Scanner(text)
    let isNegative = scanner.skip("-")
    guard let seconds = scanner.digits(atMost: 12), let nanos = scanner.fraction(), scanner.skip("s"), scanner.isAtEnd,
      durationRange.contains(seconds), seconds < durationRange.upperBound || nanos == 0
    else { return nil }
    return isNegative ? (-seconds, -nanos) : (seconds, nanos)
  }

  /// None, three, six or nine digits.
  private static func fraction(_ nanos: Int32) -> String {
    if nanos == 0 { return "" }
    if nanos % 1_000_000 == 0 { return "." + padded(Int64(nanos / 1_000_000), 3) }
    if nanos % 1000 == 0 { return "." + padded(Int64(nanos / 1000), 6) }
    return "." + padded(Int64(nanos), 9)
  }

  private static func padded(_ number: Int64, _ width: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(0, width - digits.count)) + digits
  }

  // MARK: - The proleptic Gregorian calendar

  /// Days since 1970-01-01. Years begin in March here, so that the leap day is the last one.
  private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
    let year = month <= 2 ? year - 1 : year
    let era = year / 400
    let yearOfEra = year - era * 400
    let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    return era * 146_097 + dayOfEra - 719_468
  }

  private static func civil(_ days: Int64) -> (year: Int64, month: Int64, day: Int64) {
    // Not negative: the range begins in year 1.
    let shifted = days + 719_468
    let era = shifted / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
    return (year, month, dayOfYear - (153 * shiftedMonth + 2) / 5 + 1)
  }

  private static func daysInMonth(_ month: Int64, _ year: Int64) -> Int64 {
    switch month {
    case 2: (year % 4 == 0 && year % 100 != 0) || year % 400 == 0 ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }
}

/// Takes a text apart from its front.
private struct Scanner {
  private var rest: Substring.UTF8View

  init(_ text: String) { rest = text[...].utf8 }

  var isAtEnd: Bool { rest.isEmpty }

  mutating func skip(_ character: Character) -> Bool {
    guard let first = rest.first, first == character.asciiValue else { return false }
    rest.removeFirst()
    return true
  }

  /// Exactly `count` digits.
  mutating func digits(_ count: Int) -> Int64? {
    let digits = run()
    guard digits.count >= count else { return nil }
    defer { rest.removeFirst(count) }
    return digits.prefix(count).reduce(0) { $0 * 10 + Int64($1 - UInt8(ascii: "0")) }
  }

  mutating func digits(atMost maximum: Int) -> Int64? {
    let count = run().count
    return count >= 1 && count <= maximum ? digits(count) : nil
  }

  /// Nanoseconds of a "." with one to nine digits; 0 without one.
  mutating func fraction() -> Int32? {
    guard skip(".") else { return 0 }
    let count = run().count
    guard let value = digits(atMost: 9) else { return nil }
    return Int32((count..<9).reduce(value) { value, _ in value * 10 })
  }

  /// "Z", or "+01:00" in seconds.
  mutating func offset() -> Int64? {
    if skip("Z") { return 0 }
    let sign: Int64 = skip("+") ? 1 : -1
    guard sign == 1 || skip("-"), let hours = digits(2), skip(":"), let minutes = digits(2), hours < 24, minutes < 60
    else { return nil }
    return sign * (hours * 3600 + minutes * 60)
  }

  private func run() -> Substring.UTF8View {
    rest.prefix { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
  }
}

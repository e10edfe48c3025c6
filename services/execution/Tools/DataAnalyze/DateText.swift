/// A moment read from a cell, with how much of it was written.
struct DateValue: Hashable, Sendable {
  enum Precision: Int, Sendable, Comparable {
    case month, day, second
    static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
  }
  /// Since 1970-01-01, in UTC where the text names an offset, else as written.
  let seconds: Int64
  let precision: Precision
}

/// Which comes first in `03/04/2023`.
enum DateOrder: Sendable, Hashable { case dayFirst, monthFirst }

/// Reads ISO 8601 and the common written forms of dates.
enum DateText {
  static func parse(_ text: String, order: DateOrder = .dayFirst) -> DateValue? {
    let bytes = Array(text.utf8)
    return parse(bytes, 0..<bytes.count, order: order)
  }

  static func parse(_ bytes: [UInt8], _ range: Range<Int>, order: DateOrder) -> DateValue? {
    // The shortest date is "1/2/23", the longest carries time, fraction and offset.
    guard (6...40).contains(range.count) else { return nil }
    guard let parts = Parts(bytes, range) else { return nil }
    return parts.date(order)
  }

  /// Days since 1970-01-01 of a proleptic Gregorian date.
  static func days(_ year: Int, _ month: Int, _ day: Int) -> Int {
    let year = month <= 2 ? year - 1 : year
    let era = (year >= 0 ? year : year - 399) / 400
    let ofEra = year - era * 400
    let ofYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
    return era * 146_097 + ofEra * 365 + ofEra / 4 - ofEra / 100 + ofYear - 719_468
  }

  static func civil(days: Int) -> (year: Int, month: Int, day: Int) {
    let shifted = days + 719_468
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let ofEra = shifted - era * 146_097
    let yearOfEra = (ofEra - ofEra / 1_460 + ofEra / 36_524 - ofEra / 146_096) / 365
    let ofYear = ofEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let month = (5 * ofYear + 2) / 153
    let day = ofYear - (153 * month + 2) / 5 + 1
    let realMonth = month < 10 ? month + 3 : month - 9
    return (yearOfEra + era * 400 + (realMonth <= 2 ? 1 : 0), realMonth, day)
  }

  static let months = [
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
  ]

  /// 1…12 for a full or three-letter English month name.
  static func month(_ word: String) -> Int? {
    let word = word.lowercased()
    guard word.count >= 3 else { return nil }
    return months.firstIndex { $0 == word || $0.prefix(3) == word || (word == "sept" && $0 == "september") }.map {
      $0 + 1
    }
  }

  static func isValid(_ year: Int, _ month: Int, _ day: Int) -> Bool {
    guard (1...9999).contains(year), (1...12).contains(month), day >= 1 else { return false }
    let length = [
      31, year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31,
    ]
    return day <= length[month - 1]
  }

  /// A date text cut into numbers and words.
  private struct Parts {
    var numbers: [(value: Int, digits: Int)] = []
    var month: Int?
    /// How many numbers stood before the month's name.
    var numbersBeforeMonth = 0
    var separator: UInt8 = 0
    var time = 0
    var hasTime = false

    init?(_ bytes: [UInt8], _ range: Range<Int>) {
      var index = range.lowerBound
      while index < range.upperBound, numbers.count + (month == nil ? 0 : 1) < 3 {
        let byte = bytes[index]
        if (0x30...0x39).contains(byte) {
          guard let number = Self.number(bytes, &index, range.upperBound) else { return nil }
          numbers.append(number)
        } else if Self.isLetter(byte) {
          let start = index
          while index < range.upperBound, Self.isLetter(bytes[index]) { index += 1 }
          let word = String(decoding: bytes[start..<index], as: UTF8.self)
          if let found = DateText.month(word), month == nil {
            (month, numbersBeforeMonth) = (found, numbers.count)
          } else if !Self.isFiller(word) {
            return nil
          }
        } else if "-/., ".utf8.contains(byte) {
          if separator == 0, byte != 0x20 { separator = byte }
          index += 1
        } else {
          return nil
        }
      }
      guard let seconds = Self.time(bytes, index, range.upperBound) else { return nil }
      (time, hasTime) = (seconds.offset, seconds.present)
    }

    func date(_ order: DateOrder) -> DateValue? {
      var year = 0, month = self.month ?? 0, day = 1
      var precision = hasTime ? DateValue.Precision.second : .day
      if self.month != nil {
        switch numbers.count {
        case 1 where numbers[0].digits == 4 && !hasTime: (year, precision) = (numbers[0].value, .month)
        case 2 where numbers[0].digits == 4: (year, day) = (numbers[0].value, numbers[1].value)
        case 2: (day, year) = (numbers[0].value, fullYear(numbers[1]))
        default: return nil
        }
      } else if numbers.count == 3, separator != 0x20, separator != 0x2C, separator != 0 {
        if numbers[0].digits == 4 {
          (year, month, day) = (numbers[0].value, numbers[1].value, numbers[2].value)
        } else {
          guard numbers[0].digits <= 2, numbers[1].digits <= 2, numbers[2].digits == 4 || numbers[2].digits == 2 else {
            return nil
          }
          let first = numbers[0].value, second = numbers[1].value
          year = fullYear(numbers[2])
          // With dots the day always comes first.
          (day, month) = order == .dayFirst || separator == UInt8(ascii: ".") ? (first, second) : (second, first)
        }
      } else if numbers.count == 2, numbers[0].digits == 4, numbers[1].digits == 2, !hasTime,
        separator == UInt8(ascii: "-") || separator == UInt8(ascii: "/")
      {
        (year, month, precision) = (numbers[0].value, numbers[1].value, .month)
      } else {
        return nil
      }
      guard DateText.isValid(year, month, day) else { return nil }
      return DateValue(seconds: Int64(DateText.days(year, month, day)) * 86_400 + Int64(time), precision: precision)
    }

    private func fullYear(_ number: (value: Int, digits: Int)) -> Int {
      number.digits == 2 ? number.value + (number.value < 70 ? 2000 : 1900) : number.value
    }

    private static func number(_ bytes: [UInt8], _ index: inout Int, _ end: Int) -> (value: Int, digits: Int)? {
      var value = 0, digits = 0
      while index < end, (0x30...0x39).contains(bytes[index]) {
        guard digits < 4 else { return nil }
        value = value * 10 + Int(bytes[index] - 0x30)
        digits += 1
        index += 1
      }
      return (value, digits)
    }

    private static func isLetter(_ byte: UInt8) -> Bool { (0x41...0x5A).contains(byte & 0xDF) }

    private static func isFiller(_ word: String) -> Bool {
      let word = word.lowercased()
      let days = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
      return ["st", "nd", "rd", "th", "of"].contains(word)
        || (word.count >= 3 && days.contains { $0 == word || $0.prefix(3) == word })
    }

    /// `T13:45:10.5+02:00`, `1:45 PM` or nothing; the offset is taken off.
    private static func time(_ bytes: [UInt8], _ start: Int, _ end: Int) -> (offset: Int, present: Bool)? {
      if start >= end { return (0, false) }
      var text = String(decoding: bytes[start..<end], as: UTF8.self).uppercased()
      guard let lead = text.first, lead == "T" || lead == " " || lead == "," else { return nil }
      text = String(text.drop { $0 == "T" || $0 == " " || $0 == "," })
      if text.isEmpty { return (0, false) }
      var shift = 0, afternoon: Bool?
      if text.hasSuffix("Z") { text.removeLast() }
      if text.hasSuffix("AM") || text.hasSuffix("PM") {
        afternoon = text.hasSuffix("PM")
        text = String(text.dropLast(2))
      }
      if let sign = text.lastIndex(where: { $0 == "+" || $0 == "-" }) {
        let zone = text[text.index(after: sign)...].filter { $0 != ":" }
        guard zone.count == 2 || zone.count == 4, let hours = Int(zone.prefix(2)),
          let minutes = Int("0" + zone.dropFirst(2))
        else {
          return nil
        }
        shift = (hours * 3600 + minutes * 60) * (text[sign] == "-" ? -1 : 1)
        text = String(text[..<sign])
      }
      while text.last == " " { text.removeLast() }
      let fields = text.split(separator: ":", omittingEmptySubsequences: false)
      guard (2...3).contains(fields.count), var hour = Int(fields[0]), let minute = Int(fields[1]) else { return nil }
      let whole = fields.count == 3 ? fields[2].split(separator: ".").first ?? "" : "0"
      guard let second = Int(whole), (0...24).contains(hour), (0...59).contains(minute), (0...60).contains(second)
      else { return nil }
      if let afternoon { hour = hour % 12 + (afternoon ? 12 : 0) }
      return (hour * 3600 + minute * 60 + second - shift, true)
    }
  }
}

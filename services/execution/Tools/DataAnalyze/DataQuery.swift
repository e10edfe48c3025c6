/// What is asked of a table. Columns are named by their index.
struct DataQuery: Sendable {
  enum Kind: Sendable, Hashable {
    /// Measures by group.
    case aggregate
    /// Every column's statistics.
    case describe
    /// The rows themselves.
    case rows
    /// Two number columns against each other.
    case scatter
  }

  var kind = Kind.aggregate
  var measures: [Measure] = []
  var groups: [GroupKey] = []
  var filter: RowFilter?
  var top: Top?
  var chart: ChartChoice = .automatic
  /// Columns that `rows` shows first or `describe` is limited to.
  var columns: [Int] = []
  /// "The last 5 rows": what of the rows is shown.
  var slice: RowSlice?
  /// Nil: groups by their names, rows as in the file.
  var order: RowOrder?
  /// What was assumed because the objective did not say it; each is a sentence.
  var assumptions: [String] = []
  /// Words of the objective that took no part.
  var ignored: [String] = []
}

enum Aggregate: String, Sendable, CaseIterable {
  case count, distinct, sum, mean, median, min, max, stddev

  /// As in "Average price".
  var title: String {
    switch self {
    case .count: "count"
    case .distinct: "number of different"
    case .sum: "total"
    case .mean: "average"
    case .median: "median"
    case .min: "minimum"
    case .max: "maximum"
    case .stddev: "standard deviation of"
    }
  }

  var needsNumbers: Bool { ![.count, .distinct, .min, .max].contains(self) }

  /// The name of the `aggregate` parameter and its synonyms.
  static func named(_ name: String) -> Aggregate? {
    switch name.lowercased() {
    case "count", "n": .count
    case "distinct", "unique": .distinct
    case "sum", "total": .sum
    case "mean", "average", "avg": .mean
    case "median": .median
    case "min", "minimum": .min
    case "max", "maximum": .max
    case "stddev", "std", "standard deviation": .stddev
    default: nil
    }
  }
}

struct Measure: Sendable, Hashable {
  var aggregate: Aggregate
  /// Nil counts rows.
  var column: Int?
}

enum GroupKey: Sendable, Hashable {
  case column(Int)
  case datePart(Int, DatePart)

  var column: Int {
    switch self {
    case .column(let index), .datePart(let index, _): index
    }
  }
}

enum DatePart: String, Sendable, CaseIterable {
  case year, quarter, month, week, day, hour
  /// January … December over all years.
  case monthOfYear
  /// Monday … Sunday.
  case weekday

  static func named(_ words: [String]) -> (part: DatePart, length: Int)? {
    let phrases: [([String], DatePart)] = [
      (["month", "of", "the", "year"], .monthOfYear), (["month", "of", "year"], .monthOfYear),
      (["calendar", "month"], .monthOfYear), (["month", "name"], .monthOfYear),
      (["day", "of", "the", "week"], .weekday),
      (["day", "of", "week"], .weekday), (["weekday"], .weekday), (["year"], .year), (["quarter"], .quarter),
      (["month"], .month), (["week"], .week), (["day"], .day), (["hour"], .hour),
    ]
    for (phrase, part) in phrases where words.starts(with: phrase) { return (part, phrase.count) }
    return ["yearly", "annually"].contains(words.first) ? (.year, 1) : nil
  }

  var title: String {
    switch self {
    case .monthOfYear: "month of the year"
    default: rawValue
    }
  }
}

struct RowOrder: Sendable, Hashable {
  var column: Int
  var descending: Bool
}

struct RowSlice: Sendable, Hashable {
  /// 1…10,000.
  var count: Int
  var fromEnd: Bool
}

struct Top: Sendable, Hashable {
  /// 1…10,000.
  var count: Int
  var largest: Bool
}

enum ChartChoice: String, Sendable { case automatic, bar, line, point, none }

/// Which rows count. A missing cell fulfils only `missing` and what is negated.
indirect enum RowFilter: Sendable, Hashable {
  case all([RowFilter])
  case any([RowFilter])
  case not(RowFilter)
  case number(Int, Comparison, Double)
  case text(Int, TextTest, String)
  case bool(Int, Bool)
  /// Seconds since 1970 from (inclusive) … to (exclusive).
  case period(Int, from: Int64?, to: Int64?)
  case monthOfYear(Int, Int)
  case missing(Int)

  var isChoice: Bool { if case .any = self { true } else { false } }

  enum Comparison: Sendable, Hashable { case equal, notEqual, less, lessOrEqual, greater, greaterOrEqual }
  enum TextTest: Sendable, Hashable { case equal, contains, startsWith, endsWith }
}

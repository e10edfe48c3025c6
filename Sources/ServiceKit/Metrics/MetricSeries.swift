/// What a series is called and means. Buddy's own are declared in ``BuddySeries``.
public struct MetricSeries: Sendable, Hashable {
  public enum Kind: Sendable, Hashable {
    case counter
    case gauge
    /// - Parameter bounds: The buckets' upper bounds, rising; what is above the last one counts for +Inf.
    case histogram(bounds: [Double])
  }

  public let name: String
  public let kind: Kind
  public let help: String

  /// - Parameters:
  ///   - name: Of letters, digits and `_`; with the unit, and `_total` for a counter.
  ///   - help: What it means, in a sentence.
  public init(_ name: String, _ kind: Kind, _ help: String) {
    self.name = name
    self.kind = kind
    self.help = help
  }
}

/// One value of a series at this moment, from a collector. A histogram's cannot be given so.
public struct MetricSample: Sendable, Hashable {
  let series: MetricSeries
  let labels: LabelSet
  let value: Double

  public init(_ series: MetricSeries, _ value: Double, _ labels: [String: String] = [:]) {
    self.series = series
    self.labels = LabelSet(labels.map { ($0.key, $0.value) })
    self.value = value
  }
}

/// The labels of one series, made ready for the output: what is the same there is the same here.
struct LabelSet: Sendable, Hashable, Comparable {
  /// `a="x",b="y"`, by name.
  let text: String
  private let names: [String]

  static let none = LabelSet([])

  /// A name that is given twice keeps its first value; `le` belongs to histograms.
  init(_ pairs: [(String, String)]) {
    var values: [String: String] = [:]
    for (name, value) in pairs {
      let name = MetricText.name(name)
      let key = name == "le" ? "le_" : name
      if values[key] == nil { values[key] = value }
    }
    names = values.keys.sorted()
    text = names.map { "\($0)=\"\(MetricText.labelValue(values[$0] ?? ""))\"" }.joined(separator: ",")
  }

  /// What series share that are too many to have one each.
  var folded: LabelSet { LabelSet(names.map { ($0, "other") }) }

  static func < (left: LabelSet, right: LabelSet) -> Bool { left.text < right.text }
}

/// Texts and numbers in Prometheus' text exposition format 0.0.4.
enum MetricText {
  /// With what a name may not hold replaced by `_`.
  static func name(_ text: String) -> String {
    let name = String(text.unicodeScalars.map { isNamePart($0) ? Character($0) : "_" })
    guard let first = name.utf8.first else { return "_" }
    return (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) ? "_" + name : name
  }

  static func labelValue(_ text: String) -> String {
    text.replacing("\\", with: #"\\"#).replacing("\"", with: #"\""#).replacing("\n", with: #"\n"#)
  }

  static func help(_ text: String) -> String {
    text.replacing("\\", with: #"\\"#).replacing("\n", with: #"\n"#)
  }

  static func number(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value > 0 ? "+Inf" : "-Inf" }
    if let whole = Int64(exactly: value), abs(whole) < 1 << 53 { return String(whole) }
    return "\(value)"
  }

  private static func isNamePart(_ scalar: Unicode.Scalar) -> Bool {
    scalar.isASCII && (scalar.properties.isAlphabetic || scalar.properties.numericType != nil || scalar == "_")
  }
}

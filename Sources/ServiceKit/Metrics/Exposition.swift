/// Prometheus' text exposition format, version 0.0.4.
enum Exposition {
  static let contentType = "text/plain; version=0.0.4; charset=utf-8"

  enum Value: Sendable {
    case number(Double)
    case histogram(bounds: [Double], HistogramCell.Value)

    init(_ cell: MetricCell) {
      switch cell {
      case .counter(let cell): self = .number(cell.value)
      case .gauge(let cell): self = .number(cell.value)
      case .histogram(let cell): self = .histogram(bounds: cell.bounds, cell.value)
      }
    }
  }

  /// Everything under one name.
  struct Family: Sendable {
    let series: MetricSeries
    var values: [LabelSet: Value] = [:]
  }

  static func text(_ families: [Family]) -> String {
    var text = ""
    for family in families { append(family, to: &text) }
    return text
  }

  private static func append(_ family: Family, to text: inout String) {
    let name = family.series.name
    if !family.series.help.isEmpty { text += "# HELP \(name) \(MetricText.help(family.series.help))\n" }
    text += "# TYPE \(name) \(type(of: family.series.kind))\n"
    for (labels, value) in family.values.sorted(by: { $0.key < $1.key }) {
      switch value {
      case .number(let number): text += line(name, labels.text, number)
      case .histogram(let bounds, let histogram): append(histogram, bounds, name, labels.text, to: &text)
      }
    }
  }

  private static func append(
    _ histogram: HistogramCell.Value, _ bounds: [Double], _ name: String, _ labels: String, to text: inout String
  ) {
    var total: UInt64 = 0
    for (bound, count) in zip(bounds + [.infinity], histogram.counts) {
      total += count
      let bucket = "le=\"\(MetricText.number(bound))\""
      text += line("\(name)_bucket", labels.isEmpty ? bucket : "\(labels),\(bucket)", Double(total))
    }
    text += line("\(name)_sum", labels, histogram.sum)
    text += line("\(name)_count", labels, Double(total))
  }

  private static func line(_ name: String, _ labels: String, _ value: Double) -> String {
    "\(name)\(labels.isEmpty ? "" : "{\(labels)}") \(MetricText.number(value))\n"
  }

  private static func type(of kind: MetricSeries.Kind) -> String {
    switch kind {
    case .counter: "counter"
    case .gauge: "gauge"
    case .histogram: "histogram"
    }
  }
}

import CoreMetrics
import Foundation
import ServiceKit

/// Records what standard input says, through swift-metrics, and prints the text a scrape would get.
///
/// Input: a JSON array of `{"kind": "counter"|"gauge"|"timer"|"recorder", "name": …, "labels": {…}, "values": […]}`.
@main
enum Main {
  private struct Instruction: Decodable {
    let kind: String
    let name: String
    let help: String
    let labels: [String: String]
    let values: [Double]
  }

  static func main() async throws {
    let input = FileHandle.standardInput.readDataToEndOfFile()
    let metrics = MetricsRegistry()
    for instruction in try JSONDecoder().decode([Instruction].self, from: input) { record(instruction, in: metrics) }
    FileHandle.standardOutput.write(Data(await metrics.exposition().utf8))
  }

  private static func record(_ instruction: Instruction, in metrics: MetricsRegistry) {
    let labels = instruction.labels.map { ($0.key, $0.value) }
    let (name, help) = (instruction.name, instruction.help)
    let bounds = [0.001, 0.1, 1, 10]
    for value in instruction.values {
      switch instruction.kind {
      case "counter":
        metrics.declare(MetricSeries(name, .counter, help))
        FloatingPointCounter(label: name, dimensions: labels, factory: metrics).increment(by: value)
      case "gauge": metrics.meter(MetricSeries(name, .gauge, help), labels: labels).set(value)
      case "recorder":
        metrics.recorder(MetricSeries(name, .histogram(bounds: bounds), help), labels: labels).record(value)
      default:
        metrics.timer(MetricSeries(name, .histogram(bounds: bounds), help), labels: labels)
          .recordNanoseconds(Int64(value * 1e9))
      }
    }
  }
}

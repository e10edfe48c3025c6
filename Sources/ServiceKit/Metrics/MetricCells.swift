import CoreMetrics
import Synchronization

/// Where one series keeps its value. Cells are made once and kept by who records into them; recording costs an atomic
/// operation or one short lock.
enum MetricCell: Sendable {
  case counter(CounterCell)
  case gauge(GaugeCell)
  case histogram(HistogramCell)

  init(_ kind: MetricSeries.Kind) {
    switch kind {
    case .counter: self = .counter(CounterCell())
    case .gauge: self = .gauge(GaugeCell())
    case .histogram(let bounds): self = .histogram(HistogramCell(bounds: bounds))
    }
  }

  var handler: AnyObject {
    switch self {
    case .counter(let cell): cell
    case .gauge(let cell): cell
    case .histogram(let cell): cell
    }
  }
}

/// A floating-point number that many threads change.
private struct AtomicDouble: ~Copyable {
  private let bits = Atomic<UInt64>(0)

  var value: Double { Double(bitPattern: bits.load(ordering: .relaxed)) }

  func set(_ value: Double) { bits.store(value.bitPattern, ordering: .relaxed) }

  func add(_ amount: Double) {
    var known = bits.load(ordering: .relaxed)
    while true {
      let sum = Double(bitPattern: known) + amount
      let (isExchanged, original) = bits.compareExchange(
        expected: known, desired: sum.bitPattern, ordering: .relaxed)
      if isExchanged { return }
      known = original
    }
  }
}

/// Only rises. What would lower it, and what is no number, is passed over.
final class CounterCell: CounterHandler, FloatingPointCounterHandler {
  private let total = AtomicDouble()

  var value: Double { total.value }

  func increment(by amount: Int64) { increment(by: Double(amount)) }

  func increment(by amount: Double) {
    if amount > 0 { total.add(amount) }
  }

  func reset() { total.set(0) }
}

final class GaugeCell: MeterHandler, RecorderHandler {
  private let current = AtomicDouble()

  var value: Double { current.value }

  func set(_ value: Int64) { current.set(Double(value)) }
  func set(_ value: Double) { current.set(value) }
  func increment(by amount: Double) { current.add(amount) }
  func decrement(by amount: Double) { current.add(-amount) }
  func record(_ value: Int64) { set(value) }
  func record(_ value: Double) { set(value) }
}

final class HistogramCell: RecorderHandler, TimerHandler {
  struct Value: Sendable {
    /// One for each bound, and one for what is above the last; each only what falls into it.
    var counts: [UInt64]
    var sum = 0.0
  }

  let bounds: [Double]
  private let state: Mutex<Value>

  init(bounds: [Double]) {
    self.bounds = bounds
    state = Mutex(Value(counts: Array(repeating: 0, count: bounds.count + 1)))
  }

  var value: Value { state.withLock { $0 } }

  /// What is no number is passed over.
  func record(_ value: Double) {
    guard !value.isNaN else { return }
    let bucket = bounds.firstIndex { value <= $0 } ?? bounds.count
    state.withLock {
      $0.counts[bucket] += 1
      $0.sum += value
    }
  }

  func record(_ value: Int64) { record(Double(value)) }

  /// In seconds, as Prometheus counts time.
  func recordNanoseconds(_ duration: Int64) { record(Double(duration) / 1e9) }
}

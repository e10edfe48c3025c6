/// Collects the cells of one group for one measure.
struct Accumulator {
  private(set) var count = 0
  private var total = ExactSum()
  private var minimum: Numeric?
  private var maximum: Numeric?
  private var values: [Double] = []
  private var distinct: Set<String> = []
  private var mean = 0.0, squares = 0.0

  mutating func add(row aggregate: Aggregate) { count += 1 }

  mutating func add(_ text: String, _ aggregate: Aggregate) {
    count += 1
    if aggregate == .distinct { distinct.insert(text) }
  }

  mutating func add(_ value: Numeric, _ aggregate: Aggregate) {
    count += 1
    switch aggregate {
    case .count: break
    case .distinct: distinct.insert(value.text)
    case .sum, .mean: total.add(value)
    case .median: values.append(value.double)
    case .min: if minimum.map({ value.double < $0.double }) ?? true { minimum = value }
    case .max: if maximum.map({ value.double > $0.double }) ?? true { maximum = value }
    case .stddev:
      // Welford: stable where the values are large and close together.
      let delta = value.double - mean
      mean += delta / Double(count)
      squares += delta * (value.double - mean)
    }
  }

  /// Empty where nothing was there to compute from.
  func result(_ aggregate: Aggregate) -> QueryResult.Cell {
    switch aggregate {
    case .count: return .init(count: count)
    case .distinct: return .init(count: distinct.count)
    case _ where count == 0: return .empty
    case .sum: return total.cell
    case .mean: return .init(double: total.double / Double(count))
    case .median:
      let sorted = values.sorted(), middle = sorted.count / 2
      return .init(double: sorted.count % 2 == 1 ? sorted[middle] : Self.middle(sorted[middle - 1], sorted[middle]))
    case .min: return minimum.map { .init($0) } ?? .empty
    case .max: return maximum.map { .init($0) } ?? .empty
    case .stddev: return count > 1 ? .init(double: (squares / Double(count - 1)).squareRoot()) : .empty
    }
  }
}

extension Accumulator {
  /// Halved first only where the sum would overflow, since halving loses digits of the smallest numbers.
  private static func middle(_ low: Double, _ high: Double) -> Double {
    let sum = low + high
    return sum.isFinite ? sum / 2 : low / 2 + high / 2
  }
}

/// A sum that stays exact for decimals of up to 18 digits, whatever their scale; doubles only where a cell is one.
struct ExactSum: Sendable {
  private var coefficient: Int128 = 0
  private var scale = 0
  private var isExact = true
  private var sum = 0.0
  private var carried = 0.0

  mutating func add(_ value: Numeric) {
    // Neumaier's compensated sum, for when exactness is lost later on.
    let next = sum + value.double
    carried += abs(sum) >= abs(value.double) ? (sum - next) + value.double : (value.double - next) + sum
    sum = next
    guard isExact, value.isExact else {
      isExact = false
      return
    }
    addExactly(Int128(value.coefficient), Int(value.scale))
  }

  private mutating func addExactly(_ other: Int128, _ otherScale: Int) {
    var other = other
    var overflow = false
    for _ in 0..<max(0, otherScale - scale) { multiply(&coefficient, &overflow) }
    for _ in 0..<max(0, scale - otherScale) { multiply(&other, &overflow) }
    scale = max(scale, otherScale)
    let (result, tooLarge) = coefficient.addingReportingOverflow(other)
    coefficient = result
    if overflow || tooLarge { isExact = false }
  }

  private func multiply(_ value: inout Int128, _ overflow: inout Bool) {
    let (result, tooLarge) = value.multipliedReportingOverflow(by: 10)
    value = result
    if tooLarge { overflow = true }
  }

  var double: Double {
    guard isExact else { return sum + carried }
    return Double(text) ?? sum + carried
  }

  var text: String { isExact ? Numeric.text(coefficient, scale: scale) : Numeric.text(sum + carried) }
  var cell: QueryResult.Cell { .init(text: text, number: double) }
}

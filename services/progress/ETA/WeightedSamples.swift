import Foundation

/// Times left that history shows for a mission at the same point, each with how much it counts and with what else was
/// known of the mission at that point (`given`, a time in seconds).
struct WeightedSamples {
  struct Sample {
    var left: Double
    var given: Double
    var weight: Double
  }

  private(set) var samples: [Sample]

  init(_ samples: [Sample]) { self.samples = samples }

  /// Moves every sample to where it would be if `given` had been what it is now: the slope of a line through the
  /// logarithms of both, as far as it stands out from chance.
  mutating func adjust(to given: Double) {
    let range = samples.map(\.given)
    guard let least = range.min(), let most = range.max(), most > Self.shortest else { return }
    let floor = self.floor
    let x = samples.map { log(max($0.given, Self.shortest)) }
    let slope = slope(x, samples.map { log(max($0.left, floor)) })
    guard slope != 0 else { return }
    // No further than history reaches.
    let now = log(max(min(max(given, least), most), Self.shortest))
    for index in samples.indices { samples[index].left *= exp(slope * (now - x[index])) }
  }

  /// The median, and a time that the next mission, which counts as much as the heaviest sample, stays below with
  /// probability 0.9: the quantile of a conformal prediction; where there are too few samples for that, Student's bound
  /// on the logarithms.
  func quantiles() -> (p50: Double, p90: Double) {
    var (total, heaviest) = (0.0, 0.0)
    for sample in samples {
      total += sample.weight
      heaviest = max(heaviest, sample.weight)
    }
    let sorted = samples.sorted { $0.left < $1.left }
    /// The least time left that has so much of the weight below it or at it.
    func first(reaching weight: Double) -> Double {
      var rest = weight
      for sample in sorted {
        rest -= sample.weight
        if rest <= 0 { return sample.left }
      }
      return sorted.last?.left ?? 0
    }
    let p90 = first(reaching: Self.upper * (total + heaviest))
    let few = total < Self.enough * heaviest
    return (first(reaching: 0.5 * total), few ? max(p90, studentBound()) : p90)
  }

  // MARK: -

  static let upper = 0.9
  /// Of how many samples of the same weight a quantile of 0.9 can be read.
  static let enough = 12.0
  /// Seconds; what is shorter is not told apart.
  private static let shortest = 1e-4
  /// Of the mean: what is shorter than this would rule the line through the logarithms.
  private static let leastPart = 0.03
  /// Student's t at 0.9, by degrees of freedom from 3 on.
  private static let student = [1.638, 1.533, 1.476, 1.440, 1.415, 1.397, 1.383, 1.372, 1.363, 1.356, 1.350]

  private var floor: Double {
    let sum = samples.reduce(0) { $0 + $1.left }
    return max(sum / Double(max(samples.count, 1)) * Self.leastPart, Self.shortest)
  }

  private func studentBound() -> Double {
    let floor = floor
    let logs = samples.map { log(max($0.left, floor)) }
    let count = Double(logs.count)
    guard count > 1 else { return samples.first?.left ?? 0 }
    let mean = logs.reduce(0, +) / count
    let variance = logs.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / (count - 1)
    let t = Self.student[min(max(logs.count - 4, 0), Self.student.count - 1)]
    return exp(mean + t * (variance * (1 + 1 / count)).squareRoot())
  }

  /// The weighted least squares' slope, made smaller by how uncertain it is; between 0 and 1.
  private func slope(_ x: [Double], _ y: [Double]) -> Double {
    let weights = samples.map(\.weight)
    let total = weights.reduce(0, +)
    func mean(_ values: [Double]) -> Double { zip(values, weights).reduce(0) { $0 + $1.0 * $1.1 } / total }
    let (meanX, meanY) = (mean(x), mean(y))
    var (xx, xy, yy) = (0.0, 0.0, 0.0)
    for index in x.indices {
      let (dx, dy, weight) = (x[index] - meanX, y[index] - meanY, weights[index])
      xx += weight * dx * dx
      xy += weight * dx * dy
      yy += weight * dy * dy
    }
    let count = total * total / weights.reduce(0) { $0 + $1 * $1 }
    guard xx > 1e-9, count > 3 else { return 0 }
    let slope = xy / xx
    guard slope > 0 else { return 0 }
    let variance = max(yy - slope * xy, 0) / (count - 2) / xx
    return min(slope * max(0, 1 - variance / (slope * slope)), 1)
  }
}

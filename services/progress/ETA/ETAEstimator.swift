import Foundation

/// The time left of a mission, from whole missions of history that came to the same point: empirical quantiles of what
/// they then had left, not sums of the steps' quantiles, which would overstate it.
///
/// "The same point" is, in this order: where the tool reports its progress, the same fraction of it, and then what
/// counts is how long this mission took to get there; else the same time into the same step, among those that were not
/// yet done with it, and then what counts is how long the steps before took (a large input is slow in all of them).
///
/// Which missions are met at a point depends on who asks: one who asks once about every mission meets the short ones as
/// often as the long ones; one who looks at all of them from time to time meets a mission the more often the longer it
/// is there. For each of the two, runs would weigh by another power of their length (`survivalPower`, `progressPower`);
/// what is taken lies between, so that p90 holds for both.
enum ETAEstimator {
  /// With fewer runs than this a key says nothing.
  static let leastRuns = 5
  /// After how many newer runs of its key a run counts half: how fast the estimates follow a change.
  static let halfLife = 100.0
  /// Of a run's whole time: -1 for one who asks once, 0 for one who looks from time to time.
  static let survivalPower = -0.5
  /// Of the time of a run's step: 0 for one who asks once, 1 for one who looks from time to time.
  static let progressPower = 0.75

  /// - Parameter runs: of one key, newest first.
  /// - Returns: seconds; nil where there are too few runs.
  static func estimate(_ standing: Standing, from runs: [FinishedRun]) -> (p50: Double, p90: Double)? {
    guard runs.count >= leastRuns else { return nil }
    let samples = byProgress(standing, runs) ?? bySurvival(standing, runs) ?? beyond(standing, runs)
    let (median, upper) = samples.quantiles()
    let p50 = min(max(median, 0), Standing.longest)
    return (p50, min(max(upper, p50), Standing.longest))
  }

  /// What was left of the runs when their tool had reported as much as this one's has now.
  private static func byProgress(_ standing: Standing, _ runs: [FinishedRun]) -> WeightedSamples? {
    guard let fraction = standing.fraction else { return nil }
    let step = standing.step
    /// What the tool's own progress would have one think: seconds of execution left.
    func projected(_ seconds: Double) -> Double { seconds * (1 - fraction) / fraction }
    let samples = weighted(runs) { run in
      guard !run.reports.isEmpty else { return nil }
      let reached = run.reached(fraction)
      let left = run.seconds[step] - reached + run.after(step) - standing.sinceReport
      return .init(left: left, given: projected(reached), weight: pow(max(run.seconds[step], shortest), progressPower))
    }
    guard var samples else { return nil }
    samples.adjust(to: projected(max(standing.inStep - standing.sinceReport, 0)))
    return samples
  }

  /// What was left of the runs that were still in the step after as long.
  private static func bySurvival(_ standing: Standing, _ runs: [FinishedRun]) -> WeightedSamples? {
    let step = standing.step
    let samples = weighted(runs) { run in
      guard run.seconds[step] > standing.inStep else { return nil }
      let left = run.seconds[step] - standing.inStep + run.after(step)
      return .init(left: left, given: run.before(step), weight: pow(max(run.total, shortest), survivalPower))
    }
    guard var samples else { return nil }
    samples.adjust(to: max(standing.elapsed - standing.inStep, 0))
    return samples
  }

  /// For a mission that is longer in its step than history was: in proportion, what the longest runs had left when few
  /// others were still in the step.
  private static func beyond(_ standing: Standing, _ runs: [FinishedRun]) -> WeightedSamples {
    let step = standing.step
    let longest = runs.sorted { $0.seconds[step] > $1.seconds[step] }.prefix(max(leastRuns, runs.count / 10))
    let least = max(longest.last?.seconds[step] ?? 0, shortest)
    return WeightedSamples(
      longest.map { run in
        let left = max(run.seconds[step] - least, 0) / least * standing.inStep + run.after(step)
        return .init(left: left, given: 0, weight: 1)
      })
  }

  /// Of the runs that have something left, the later ones with more weight. Nil for fewer than `leastRuns`.
  private static func weighted(
    _ runs: [FinishedRun], _ sample: (FinishedRun) -> WeightedSamples.Sample?
  ) -> WeightedSamples? {
    var samples: [WeightedSamples.Sample] = []
    var weight = 1.0
    for run in runs {
      if var sample = sample(run), sample.left > 0 {
        sample.weight *= weight
        samples.append(sample)
      }
      weight *= decay
    }
    return samples.count >= leastRuns ? WeightedSamples(samples) : nil
  }

  private static let decay = exp2(-1 / halfLife)
  /// Seconds; keeps what is divided by above zero.
  private static let shortest = 1e-6
}

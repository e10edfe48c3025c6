/// What runs are told apart by. A part that is unknown is empty.
struct RunKey: Sendable, Hashable {
  var recipe = ""
  var tool = ""
  var intent = ""
}

/// A mission that succeeded, as far as estimates need it.
struct FinishedRun: Sendable, Hashable {
  /// A tool's report of its progress.
  struct Report: Sendable, Hashable {
    /// Of its work, between 0 and 1.
    var fraction: Double
    /// Active seconds into execution.
    var at: Double
  }

  /// Of execution's reports the first in each part of this size is kept.
  static let parts = 10

  /// Later runs have higher ones.
  var number: Int64 = 0
  var key: RunKey
  /// Active seconds of each of the six steps.
  var seconds: [Double]
  /// Ascending; none where the tool never reported any progress.
  var reports: [Report] = []

  /// Active seconds into execution at which `fraction` of its work was done by its own account, between the reports in
  /// proportion.
  func reached(_ fraction: Double) -> Double {
    var before = Report(fraction: 0, at: 0)
    var after = Report(fraction: 1, at: seconds[MissionClock.execution])
    for report in reports {
      if report.fraction > fraction {
        after = report
        break
      }
      before = report
    }
    guard after.fraction > before.fraction else { return before.at }
    return before.at + (fraction - before.fraction) / (after.fraction - before.fraction) * (after.at - before.at)
  }

  /// Active seconds from the end of a step to the end of the mission.
  func after(_ step: Int) -> Double { seconds[(step + 1)...].reduce(0, +) }

  var total: Double { seconds.reduce(0, +) }

  /// Active seconds from the mission's start to the start of a step.
  func before(_ step: Int) -> Double { seconds[..<step].reduce(0, +) }
}

import Foundation
import Messages

extension ProgressSnapshot {
  /// Sets the time left, where there is anything to go by. Its facts and its elapsed time must be set.
  ///
  /// - Parameters:
  ///   - reportedAt: the time of the last STEP_PROGRESS event of the running step, if that is known.
  ///   - now: what `elapsed` was measured to.
  mutating func estimate(from history: DurationHistory, reportedAt: Date?, now: Date) async throws {
    (eta, etaP90, etaBasis) = (nil, nil, "")
    guard let standing = Standing(self, reportedAt: reportedAt, now: now),
      let estimate = try await history.estimate(standing, facts: facts ?? MissionFacts())
    else { return }
    eta = GoogleProtobufDuration(.seconds(estimate.p50))
    etaP90 = estimate.p90.map { GoogleProtobufDuration(.seconds($0)) }
    etaBasis = estimate.basis
  }
}

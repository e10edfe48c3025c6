/// How well a tool serves an intent: a Beta posterior over "the result was good" that forgets.
///
/// Each signal first shrinks what was known by `retention`, then adds its weight, split by its score between the
/// favourable and the unfavourable side. The prior is neutral: one half, worth `priorStrength` samples, and is never
/// forgotten, so that a tool nothing has been said of for long returns to a multiplier of 1.
struct Posterior: Sendable, Hashable {
  /// What remains of earlier signals when a new one comes: after 69 signals a signal counts half.
  static let retention = 0.99
  /// How many samples the neutral prior is worth.
  static let priorStrength = 10.0
  /// How far the multiplier would move if every signal were of one kind for ever.
  static let gain = 0.3
  /// The range the multiplier is clipped to.
  static let range = 0.8...1.2

  var favourable = 0.0
  var unfavourable = 0.0

  /// What people say counts fully; that a mission ended without an error says less, a tool named in a correction half.
  enum Weight {
    static let feedback = 1.0
    static let correction = 0.5
    static let outcome = 0.1
  }

  /// - Parameters:
  ///   - score: 0 (bad) to 1 (good).
  ///   - weight: in samples, above 0.
  mutating func learn(score: Double, weight: Double) {
    favourable = favourable * Self.retention + weight * score
    unfavourable = unfavourable * Self.retention + weight * (1 - score)
  }

  /// How many samples stand behind it, the forgotten parts left out.
  var samples: Double { favourable + unfavourable }

  /// The expected score, 0 to 1.
  var mean: Double { (favourable + Self.priorStrength / 2) / (samples + Self.priorStrength) }

  private var unclipped: Double { 1 + Self.gain * (2 * mean - 1) }

  /// What the tool's base confidence is multiplied by: 0.8 to 1.2.
  var multiplier: Double { min(max(unclipped, Self.range.lowerBound), Self.range.upperBound) }

  /// True if the multiplier was clipped to its range.
  var isCapped: Bool { !Self.range.contains(unclipped) }
}

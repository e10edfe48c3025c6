import Foundation

/// What an objective was understood to ask for.
struct IntentResult: Sendable, Hashable {
  /// One of the intents of `TrainingExamples`.
  let name: String
  /// "single_tool", or "none" where no tool fits.
  let decision: String
  /// 0.20 to 0.95.
  let confidence: Double
  /// What spoke for it, for a person, the strongest first.
  let reasons: [String]
}

/// Tells what an objective asks for: a multinomial naive Bayes model over words, pairs of words and a few signs (a
/// number, a formula, a web address, an attached table), trained when it is made from the objectives in
/// `TrainingExamples`. It knows the words of those examples and nothing else: an objective of which it knows no word
/// that tells the intents apart is `unknown`.
struct IntentClassifier: Sendable {
  /// The range confidence is kept in: a small model is never sure, and a guess is never worthless.
  static let confidenceRange = 0.20...0.95
  static let unknown = "unknown"
  /// Added to every count, so that an unseen word does not rule an intent out.
  private static let smoothing = 0.3
  /// Words of one objective are not independent, as the model assumes; this tempers the certainty that follows.
  private static let tempering = 0.6

  private struct Model: Sendable {
    var logPrior: Double
    var logLikelihood: [String: Double]
    var logUnseen: Double
  }

  private let models: [String: Model]
  private let vocabulary: Set<String>

  init(examples: [String: [String]] = TrainingExamples.byIntent) {
    let counts = examples.mapValues { objectives in
      objectives.flatMap { ObjectiveFeatures.of($0, inputs: []) }.reduce(into: [String: Int]()) { $0[$1, default: 0] += 1 }
    }
    let vocabulary = Set(counts.values.flatMap(\.keys))
    models = counts.mapValues { counts in
      let total = Double(counts.values.reduce(0, +)) + Self.smoothing * Double(vocabulary.count)
      return Model(
        logPrior: log(1 / Double(examples.count)),
        logLikelihood: counts.mapValues { log((Double($0) + Self.smoothing) / total) },
        logUnseen: log(Self.smoothing / total))
    }
    self.vocabulary = vocabulary
  }

  /// - Parameter inputs: the files that came with the objective.
  func classify(objective: String, inputs: [(name: String, mediaType: String)]) -> IntentResult {
    let features = ObjectiveFeatures.of(objective, inputs: inputs)
    let known = features.filter(vocabulary.contains)
    let scores = models.mapValues { model in
      known.reduce(model.logPrior) { $0 + Self.tempering * (model.logLikelihood[$1] ?? model.logUnseen) }
    }
    let shares = Self.shares(scores)
    // Ties are broken by name, so that the same objective always means the same.
    let ranked = shares.sorted { ($0.value, $1.key) > ($1.value, $0.key) }
    guard let best = ranked.first, !known.isEmpty, best.key != Self.unknown else {
      let reason = known.isEmpty ? "none of its words is known" : "it reads like nothing a tool is for"
      return IntentResult(
        name: Self.unknown, decision: "none", confidence: Self.clip(shares[Self.unknown] ?? 0), reasons: [reason])
    }
    return IntentResult(
      name: best.key, decision: "single_tool", confidence: Self.clip(best.value),
      reasons: reasons(for: best.key, among: known))
  }

  private static func shares(_ scores: [String: Double]) -> [String: Double] {
    let highest = scores.values.max() ?? 0
    let weights = scores.mapValues { exp($0 - highest) }
    let sum = weights.values.reduce(0, +)
    return weights.mapValues { $0 / sum }
  }

  private static func clip(_ confidence: Double) -> Double {
    min(max(confidence, confidenceRange.lowerBound), confidenceRange.upperBound)
  }

  /// The three features that spoke most for the intent against the others.
  private func reasons(for intent: String, among known: [String]) -> [String] {
    let weights = Set(known).map { feature -> (feature: String, weight: Double) in
      let others = models.filter { $0.key != intent }.values.map { $0.logLikelihood[feature] ?? $0.logUnseen }
      let own = models[intent].map { $0.logLikelihood[feature] ?? $0.logUnseen } ?? 0
      return (feature, own - (others.max() ?? own))
    }
    return weights.filter { $0.weight > 0 }.sorted { ($0.weight, $1.feature) > ($1.weight, $0.feature) }
      .prefix(3).map { ObjectiveFeatures.explain($0.feature) }
  }
}

/// Which settings there are at all: each service knows its own, and a file of settings is for all of them.
enum SettingNames {
  /// Beyond those that every service has. The tests compare this with each program's `--help`.
  private static let own: [ServiceName: [String]] = [
    .gateway: [
      "allowed-host", "feed-events", "maximum-feeds", "maximum-subscriptions", "maximum-upload-bytes",
      "maximum-websockets", "upstream-timeout", "watcher-buffer-bytes",
    ],
    .execution: [
      "ageing-interval", "allow-private-fetch", "auto-approve-micros", "auto-approve-risk", "auto-approve-role",
      "currency", "default-budget-micros", "default-role", "default-tool-limit", "fairness-weight",
      "idempotency-retention", "lease-duration", "maximum-running",
      "peer-patience", "peer-timeout", "result-patience", "role", "tool-limit", "tool-queue", "tools",
      "without-investment", "without-learning",
    ],
    .progress: [
      "event-retention", "events-per-mission", "inbox-retention", "maximum-lag", "recent-events", "recent-events-bytes",
      "unknown-mission-wait",
    ],
    .learning: ["inbox-retention"],
    .investment: ["currency", "inbox-retention", "initial-budget-micros"],
    .artifact: ["maximum-artifact-bytes"],
  ]

  /// What makes no sense inside a file of settings.
  static let flagsOnly: Set<String> = ["config"]

  static func of(_ service: ServiceName) -> Set<String> {
    Set(CommonSettings.all(service).withSecretFiles.map(\.name) + (own[service] ?? []))
  }

  static let all: Set<String> = ServiceName.allCases.reduce(into: []) { $0.formUnion(of($1)) }
}

/// Names like a misspelt one.
enum NearestNames {
  /// `; did you mean a, b?` with at most three names, or nothing where none is near.
  static func hint(_ name: String, _ known: some Sequence<String>) -> String {
    let limit = max(2, name.count / 3)
    let near = known.map { (distance: distance(name, $0), name: $0) }.filter { $0.distance <= limit }
      .sorted { ($0.distance, $0.name) < ($1.distance, $1.name) }
    return near.isEmpty ? "" : "; did you mean \(near.prefix(3).map(\.name).joined(separator: ", "))?"
  }

  /// How many characters have to be added, removed or replaced (Levenshtein).
  static func distance(_ left: String, _ right: String) -> Int {
    let right = Array(right)
    var row = Array(0...right.count)
    for (index, character) in left.enumerated() {
      var diagonal = row[0]
      row[0] = index + 1
      for column in right.indices {
        let replaced = diagonal + (character == right[column] ? 0 : 1)
        diagonal = row[column + 1]
        row[column + 1] = min(replaced, min(row[column], diagonal) + 1)
      }
    }
    return row[right.count]
  }
}

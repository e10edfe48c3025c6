import ServiceKit

/// What can be set for the progress service beyond what every service has.
enum ProgressSettings {
  static let unknownMissionWait = Setting<Duration>(
    "unknown-mission-wait", default: .seconds(2),
    help: "how long a watcher of a mission without events waits for the first before NOT_FOUND")
  static let eventRetention = Setting<Duration>(
    "event-retention", default: .seconds(30 * 86_400),
    help: "how long after a mission's end its events are kept; where it stands is kept for ever",
    in: .seconds(60)...(.seconds(3_650 * 86_400)))
  static let eventsPerMission = Setting<Int>(
    "events-per-mission", default: 10_000, help: "how many events of one mission are kept at the most, the newest",
    in: 100...10_000_000)
  static let recentEvents = Setting<Int>(
    "recent-events", default: 16_384, help: "how many events are kept in memory for those who watch",
    in: 1...1_000_000)
  static let recentBytes = Setting<Int>(
    "recent-events-bytes", default: 32 << 20, help: "how many bytes of them, as they are on the wire",
    in: 1...(1 << 32))
  static let maximumLag = Setting<Int>(
    "maximum-lag", default: 10_000,
    help: "how many events a watcher of all missions may be behind before it gets a gap",
    in: 1...1_000_000_000)

  static let all: [any SettingDeclaration] = [
    unknownMissionWait, eventRetention, eventsPerMission, recentEvents, recentBytes, maximumLag,
  ]
}

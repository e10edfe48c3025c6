/// How log lines look.
public enum LogFormat: String, CaseIterable, SettingValue {
  /// `2026-01-31T12:00:00.000Z info execution: message key=value`
  case text
  /// `{"time":…,"level":…,"logger":…,"message":…,"metadata":{…}}`
  case json
}

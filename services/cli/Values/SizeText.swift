/// Byte counts for people.
enum SizeText {
  /// `0 B`, `999 B`, `1.5 KiB`, `12 MiB`: one decimal below ten, none from there on.
  static func format(_ bytes: UInt64) -> String {
    guard bytes >= 1024 else { return "\(bytes) B" }
    var (divisor, units) = (UInt64(1024), ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"][...])
    while units.count > 1, bytes / divisor >= 1024 {
      divisor *= 1024
      units = units.dropFirst()
    }
    let whole = bytes / divisor
    let tenth = bytes % divisor * 10 / divisor
    return whole < 10 ? "\(whole).\(tenth) \(units[units.startIndex])" : "\(whole) \(units[units.startIndex])"
  }
}

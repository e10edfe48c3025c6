/// What other tracing systems add to a trace: `vendor=value` entries, the newest first (W3C Trace Context, section 3.3).
/// Buddy adds none and passes them on as they came.
struct TraceState: Sendable, Hashable {
  /// More than this is malformed.
  static let maximumEntries = 32
  /// What is passed on at the most, in bytes; at least that much has to be (section 3.3.1.5).
  static let maximumLength = 512
  /// Entries longer than this go first where there is too much.
  private static let longEntry = 128

  /// The header's value; empty without entries.
  let text: String

  init() { text = "" }

  /// Nothing is kept of a malformed list.
  init(_ header: String) {
    text = Self.entries(header).map { Self.fitting($0).joined(separator: ",") } ?? ""
  }

  /// Nil if the list is malformed: an entry without `=`, a character that may not be, a key twice, too many.
  private static func entries(_ header: String) -> [Substring]? {
    var entries: [Substring] = []
    var keys: Set<Substring> = []
    for member in header.split(separator: ",", omittingEmptySubsequences: false) {
      let entry = trimmed(member)
      if entry.isEmpty { continue }
      guard let equals = entry.firstIndex(of: "=") else { return nil }
      let key = entry[..<equals]
      guard isKey(key), isValue(entry[entry.index(after: equals)...]), keys.insert(key).inserted else { return nil }
      entries.append(entry)
    }
    return entries.count <= maximumEntries ? entries : nil
  }

  /// Whole entries, the oldest given up first.
  private static func fitting(_ entries: [Substring]) -> [Substring] {
    func length(_ entries: [Substring]) -> Int { entries.reduce(-1) { $0 + $1.utf8.count + 1 } }
    var kept = entries
    if length(kept) > maximumLength { kept.removeAll { $0.utf8.count > longEntry } }
    while length(kept) > maximumLength { kept.removeLast() }
    return kept
  }

  private static func trimmed(_ text: Substring) -> Substring {
    let isSpace: (Character) -> Bool = { $0 == " " || $0 == "\t" }
    var text = text.drop(while: isSpace)
    while let last = text.last, isSpace(last) { text.removeLast() }
    return text
  }

  // MARK: - The grammar of section 3.3.1.3

  private static func isKey(_ key: Substring) -> Bool {
    let parts = key.split(separator: "@", omittingEmptySubsequences: false).map { Array($0.utf8) }
    switch parts.count {
    case 1: return isLetter(parts[0].first) && parts[0].count <= 256 && parts[0].allSatisfy(isKeyByte)
    case 2:
      let (tenant, system) = (parts[0], parts[1])
      return (isLetter(tenant.first) || isDigit(tenant.first)) && tenant.count <= 241 && tenant.allSatisfy(isKeyByte)
        && isLetter(system.first) && system.count <= 14 && system.allSatisfy(isKeyByte)
    default: return false
    }
  }

  private static func isValue(_ value: Substring) -> Bool {
    let bytes = value.utf8
    guard (1...256).contains(bytes.count), value.last != " " else { return false }
    return bytes.allSatisfy { (0x20...0x7E).contains($0) && $0 != UInt8(ascii: ",") && $0 != UInt8(ascii: "=") }
  }

  private static func isLetter(_ byte: UInt8?) -> Bool { byte.map { (0x61...0x7A).contains($0) } ?? false }
  private static func isDigit(_ byte: UInt8?) -> Bool { byte.map { (0x30...0x39).contains($0) } ?? false }

  private static func isKeyByte(_ byte: UInt8) -> Bool {
    isLetter(byte) || isDigit(byte) || "_-*/".utf8.contains(byte)
  }
}

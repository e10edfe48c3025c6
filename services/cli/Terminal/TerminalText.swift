/// Text from missions, files and services, made safe and measurable for a terminal.
///
/// Whoever writes an objective, a file name or a web page that a mission reads must not be able to move the reader's
/// cursor, recolour the screen, set the window's title or reverse the reading direction.
enum TerminalText {
  /// One line: line breaks and tabs become spaces, every other control character becomes visible (`\x1b`).
  static func line(_ text: String) -> String {
    sanitize(text) { $0 == "\n" || $0 == "\t" || $0 == "\r" ? " " : nil }
  }

  /// Several lines: line breaks and tabs stay, `\r\n` becomes `\n`, every other control character becomes visible.
  static func block(_ text: String) -> String {
    sanitize(text.replacing("\r\n", with: "\n")) { $0 == "\n" || $0 == "\t" ? String($0) : nil }
  }

  private static func sanitize(_ text: String, _ keep: (Unicode.Scalar) -> String?) -> String {
    guard text.unicodeScalars.contains(where: isControl) else { return text }
    var result = ""
    for scalar in text.unicodeScalars {
      if !isControl(scalar) {
        result.unicodeScalars.append(scalar)
      } else if let kept = keep(scalar) {
        result += kept
      } else {
        result += escaped(scalar)
      }
    }
    return result
  }

  private static func escaped(_ scalar: Unicode.Scalar) -> String {
    let digits = String(scalar.value, radix: 16)
    return scalar.value < 0x100 ? "\\x\(digits.count < 2 ? "0" : "")\(digits)" : "\\u{\(digits)}"
  }

  /// C0, DEL and C1 controls, line separators, and what changes the direction of text or hides in it.
  private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.value {
    case 0..<0x20, 0x7F..<0xA0, 0x061C, 0x200B, 0x200E...0x200F, 0x2028...0x202E, 0x2060...0x206F, 0xFEFF,
      0xFFF9...0xFFFB, 0xE0000...0xE007F:
      true
    default: false
    }
  }

  /// Terminal columns that the text takes.
  static func width(_ text: String) -> Int { text.reduce(0) { $0 + width($1) } }

  private static func width(_ character: Character) -> Int {
    character.unicodeScalars.reduce(0) { max($0, width($1)) }
  }

  private static func width(_ scalar: Unicode.Scalar) -> Int {
    switch scalar.value {
    case 0x20..<0x7F: return 1
    case 0x1100...0x115F, 0x2E80...0x303E, 0x3041...0x33FF, 0x3400...0x4DBF, 0x4E00...0x9FFF, 0xA000...0xA4CF,
      0xAC00...0xD7A3, 0xF900...0xFAFF, 0xFE30...0xFE6F, 0xFF00...0xFF60, 0xFFE0...0xFFE6, 0x1F300...0x1F64F,
      0x1F680...0x1F6FF, 0x1F900...0x1F9FF, 0x20000...0x3FFFD:
      return 2
    default: break
    }
    switch scalar.properties.generalCategory {
    case .nonspacingMark, .enclosingMark, .format, .control: return 0
    default: return 1
    }
  }

  /// At most `columns` wide; what is cut off is marked with an ellipsis.
  static func truncated(_ text: String, to columns: Int, ellipsis: String = "…") -> String {
    guard width(text) > columns else { return text }
    let room = columns - width(ellipsis)
    guard room >= 0 else { return "" }
    var (result, used) = ("", 0)
    for character in text {
      let next = used + width(character)
      if next > room { break }
      result.append(character)
      used = next
    }
    return result + ellipsis
  }

  /// Followed by spaces up to `columns`.
  static func padded(_ text: String, to columns: Int) -> String {
    text + String(repeating: " ", count: max(0, columns - width(text)))
  }
}

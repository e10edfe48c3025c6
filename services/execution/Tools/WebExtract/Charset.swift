import Foundation

/// Which character set a page is in, and its bytes ready for the parser.
enum Charset {
  /// The header's word counts first, then a byte order mark, a meta element in the first 1,024 bytes, UTF-8 if it is
  /// valid, else windows-1252 (WHATWG Encoding; that is what browsers do).
  static func prepare(_ bytes: [UInt8], header: String?) -> (bytes: [UInt8], charset: String, note: String?) {
    var note: String?
    if let header, known(header) == nil {
      note = "The charset '\(header.shortened(to: 30))' is unknown; the text was read without it."
    }
    let name =
      byteOrderMark(bytes) ?? header.flatMap(known) ?? meta(bytes).flatMap(known)
      ?? (CSVFormat.firstInvalidUTF8(bytes) == nil ? "UTF-8" : "windows-1252")
    if name == "UTF-8" {
      return (
        Array(String(decoding: bytes, as: UTF8.self).utf8.drop { $0 == 0 }).map { $0 == 0 ? 0x20 : $0 }, name, note
      )
    }
    if name.hasPrefix("UTF-16") || name.hasPrefix("UTF-32") { return (bytes, name, note) }
    return (bytes.map { $0 == 0 ? 0x20 : $0 }, name, note)
  }

  /// The whole text. Only for what is not HTML.
  static func text(_ bytes: [UInt8], header: String?) -> String {
    let (bytes, name, _) = prepare(bytes, header: header)
    switch name {
    case "UTF-8":
      return String(decoding: bytes.starts(with: [0xEF, 0xBB, 0xBF]) ? bytes.dropFirst(3) : bytes[...], as: UTF8.self)
    case "windows-1252": return windows1252(bytes)
    default:
      // libxml2 converts everything iconv knows; as plain text the page is one text node.
      let document = try? HTMLParser.parse(bytes, charset: name, xpath: nil) {}
      return document.map {
        $0.tree.nodes.compactMap { if case .text(let text) = $0.kind { text } else { nil } }.joined()
      } ?? ""
    }
  }

  private static func byteOrderMark(_ bytes: [UInt8]) -> String? {
    if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { return "UTF-8" }
    if bytes.starts(with: [0xFF, 0xFE]) { return "UTF-16LE" }
    return bytes.starts(with: [0xFE, 0xFF]) ? "UTF-16BE" : nil
  }

  /// The name iconv uses; nil if it knows none. Latin-1 and ASCII mean windows-1252 on the web.
  static func known(_ label: String) -> String? {
    let name = label.trimmedWhitespace.lowercased()
    guard (1...40).contains(name.count),
      name.allSatisfy({ $0.isASCII && ($0.isLetter || $0.isNumber || "-_:.+".contains($0)) })
    else {
      return nil
    }
    switch name {
    case "utf-8", "utf8", "unicode-1-1-utf-8": return "UTF-8"
    case "iso-8859-1", "latin1", "latin-1", "us-ascii", "ascii", "iso8859-1", "iso_8859-1", "windows-1252", "cp1252":
      return "windows-1252"
    default: return HTMLParser.isKnownCharset(name) ? name : nil
    }
  }

  /// `<meta charset="…">` or `<meta http-equiv … content="text/html; charset=…">`.
  static func meta(_ bytes: [UInt8]) -> String? {
    let head = String(decoding: bytes.prefix(1_024).map { $0 < 0x80 ? $0 : 0x3F }, as: UTF8.self).lowercased()
    for tag in head.components(separatedBy: "<meta").dropFirst() {
      let tag = tag.prefix { $0 != ">" }
      guard let start = tag.range(of: "charset") else { continue }
      let value = tag[start.upperBound...].drop { $0 == " " || $0 == "=" || $0 == "\"" || $0 == "'" }
      let name = value.prefix { $0.isLetter || $0.isNumber || "-_:.+".contains($0) }
      if !name.isEmpty { return String(name) }
    }
    return nil
  }

  private static func windows1252(_ bytes: [UInt8]) -> String {
    let high: [UInt32] = [
      0x20AC, 0x81, 0x201A, 0x192, 0x201E, 0x2026, 0x2020, 0x2021, 0x2C6, 0x2030, 0x160, 0x2039, 0x152, 0x8D, 0x17D,
      0x8F,
      0x90, 0x2018, 0x2019, 0x201C, 0x201D, 0x2022, 0x2013, 0x2014, 0x2DC, 0x2122, 0x161, 0x203A, 0x153, 0x9D, 0x17E,
      0x178,
    ]
    var text = String.UnicodeScalarView()
    for byte in bytes {
      let value = (0x80...0x9F).contains(byte) ? high[Int(byte) - 0x80] : UInt32(byte)
      if let scalar = Unicode.Scalar(value) { text.append(scalar) }
    }
    return String(text)
  }
}

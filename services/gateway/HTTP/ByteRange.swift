/// Which bytes of `size` a Range header asks for (RFC 9110 §14). One range is supported; a header that is malformed or
/// names several is ignored, as the RFC allows.
enum ByteRange: Equatable, Sendable {
  case whole
  /// First and last byte, both included.
  case part(first: UInt64, last: UInt64)
  case unsatisfiable

  static func parse(_ header: String?, size: UInt64) -> ByteRange {
    guard let header, header.lowercased().hasPrefix("bytes=") else { return .whole }
    let bounds = header.dropFirst(6).split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
      .map { String($0).trimmingSpaces }
    guard bounds.count == 2 else { return .whole }
    switch (number(bounds[0]), number(bounds[1])) {
    case (let first?, let last?):
      guard first <= last else { return .whole }
      return from(first, to: last, size: size)
    case (let first?, nil) where bounds[1].isEmpty:
      return from(first, to: .max, size: size)
    case (nil, let suffix?) where bounds[0].isEmpty:
      guard suffix > 0, size > 0 else { return .unsatisfiable }
      return from(size - min(suffix, size), to: .max, size: size)
    default:
      return .whole
    }
  }

  private static func from(_ first: UInt64, to last: UInt64, size: UInt64) -> ByteRange {
    first < size ? .part(first: first, last: min(last, size - 1)) : .unsatisfiable
  }

  /// Digits only: `UInt64("+5")` would be 5.
  private static func number(_ text: String) -> UInt64? {
    text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? UInt64(text) : nil
  }
}

/// True if an If-None-Match header (a list, `*`, weak or strong tags; RFC 9110 §13.1.2) covers `etag`.
func entityTag(_ etag: String, isIn header: String?) -> Bool {
  guard let header else { return false }
  return header.split(separator: ",").contains { candidate in
    let tag = String(candidate).trimmingSpaces
    return tag == "*" || tag == etag || tag == "W/" + etag
  }
}

/// A Content-Disposition that saves the file as `name` (RFC 6266): plain for old clients, RFC 8187 for the others.
func attachmentDisposition(_ name: String) -> String {
  let plain = name.unicodeScalars.map { scalar in
    let isPrintable = (0x20..<0x7F).contains(scalar.value)
    return isPrintable && !"\"\\%/".unicodeScalars.contains(scalar) ? String(scalar) : "_"
  }
  return "attachment; filename=\"\(plain.joined())\"; filename*=UTF-8''\(percentEncoded(name))"
}

extension String {
  /// Without spaces and tabs at both ends.
  var trimmingSpaces: String {
    let isSpace: (Character) -> Bool = { $0 == " " || $0 == "\t" }
    guard let first = firstIndex(where: { !isSpace($0) }) else { return "" }
    return String(self[first...(lastIndex { !isSpace($0) } ?? first)])
  }
}

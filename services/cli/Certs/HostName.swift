import RPC

/// The names that a certificate can hold for hosts.
enum HostName {
  /// Why nobody could verify it as a DNS name; nil where somebody can.
  ///
  /// Letters, digits, dashes and underscores in parts of 1 to 63, 253 in all (RFC 1123, section 2.1, though without
  /// underscores, which are in use); the first part may be `*` before two others (RFC 6125, section 6.4.3).
  static func problem(_ text: String) -> String? {
    let inner = text.hasPrefix("[") && text.hasSuffix("]") ? String(text.dropFirst().dropLast()) : text
    if IPAddress.bytes(inner) != nil { return "is an address: use --address \(inner)" }
    var parts = text.split(separator: ".", omittingEmptySubsequences: false)
    if parts.first == "*", parts.count > 2 { parts.removeFirst() }
    let isName = text.utf8.count <= 253 && parts.allSatisfy(isPart)
      // Resolvers take what ends in a number for an address.
      && parts.last?.allSatisfy(\.isNumber) == false
    return isName ? nil : "is no name of a host, as buddy.example is: without a scheme, a port or a path"
  }

  private static func isPart(_ part: Substring) -> Bool {
    (1...63).contains(part.utf8.count) && !part.hasPrefix("-") && !part.hasSuffix("-")
      && part.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
          true
        default: false
        }
      }
  }
}

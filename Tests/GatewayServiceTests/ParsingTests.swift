import Hummingbird
import RPC
import ServiceKit
import Testing

@testable import GatewayService

@Suite struct ParsingTests {
  @Test(arguments: [
    (nil, 10, ByteRange.whole), ("bytes=0-", 10, .part(first: 0, last: 9)), ("bytes=3-5", 10, .part(first: 3, last: 5)),
    ("bytes=3-99", 10, .part(first: 3, last: 9)), ("Bytes= 3 - 5 ", 10, .part(first: 3, last: 5)),
    ("bytes=-4", 10, .part(first: 6, last: 9)), ("bytes=-40", 10, .part(first: 0, last: 9)),
    ("bytes=-0", 10, .unsatisfiable), ("bytes=10-", 10, .unsatisfiable), ("bytes=0-", 0, .unsatisfiable),
    ("bytes=-1", 0, .unsatisfiable), ("bytes=5-3", 10, .whole), ("bytes=0-1,3-4", 10, .whole),
    ("lines=0-1", 10, .whole),
    ("bytes=+1-2", 10, .whole), ("bytes=a-b", 10, .whole), ("bytes=-", 10, .whole), ("bytes=", 10, .whole),
    ("bytes=99999999999999999999-", 10, .whole),
  ] as [(String?, UInt64, ByteRange)])
  func ranges(_ header: String?, _ size: UInt64, _ expected: ByteRange) {
    #expect(ByteRange.parse(header, size: size) == expected)
  }

  @Test func entityTags() {
    #expect(entityTag("\"a\"", isIn: "\"a\""))
    #expect(entityTag("\"a\"", isIn: "\"b\", W/\"a\""))
    #expect(entityTag("\"a\"", isIn: "*"))
    #expect(!entityTag("\"a\"", isIn: "\"ab\""))
    #expect(!entityTag("\"a\"", isIn: nil))
  }

  @Test func dispositionsAreSafeForEveryName() {
    #expect(attachmentDisposition("a b.csv") == "attachment; filename=\"a b.csv\"; filename*=UTF-8''a%20b.csv")
    let hostile = attachmentDisposition("é\"\r\nSet-Cookie: x/../\\%.csv")
    #expect(!hostile.contains("\r") && !hostile.contains("\n"))
    #expect(hostile.hasPrefix("attachment; filename=\"___Set") || hostile.hasPrefix("attachment; filename=\"____Set"))
    #expect(hostile.contains("filename*=UTF-8''%C3%A9%22%0D%0A"))
  }

  @Test func queries() throws {
    let query = try Query("name=a+b%20c&state=RUNNING,FAILED&state=PAUSED&empty=&n=7&%C3%A9=%C3%A9")
    #expect(query.text("name") == "a b c")
    #expect(query.list("state") == ["RUNNING", "FAILED", "PAUSED"])
    #expect(query.text("empty") == nil)
    #expect(try query.integer("n", in: 0...10) == 7)
    #expect(try query.integer("absent", in: 0...10) == nil)
    #expect(query.text("é") == "é")
    #expect(throws: GatewayError.self) { try query.integer("n", in: 0...6) }
    #expect(throws: GatewayError.self) { try query.integer("name", in: 0...6) }
  }

  @Test(arguments: ["%", "%4", "%zz", "a%ff", "%c3%28"])
  func malformedEscapesAreRefused(_ text: String) {
    #expect(percentDecoded(text) == nil)
    #expect(throws: GatewayError.self) { try Query("name=\(text)") }
  }

  @Test(arguments: ["+1", " 1", "1.0", "", "0x1", "99999999999999999999"])
  func numbersAreDigitsOnly(_ text: String) {
    #expect(throws: GatewayError.self) { try wholeNumber(text, named: "n", in: 0...100) }
  }

  @Test func percentEncodingGoesBothWays() {
    let text = "ä/b c%?#\u{1F600}"
    #expect(percentDecoded(percentEncoded(text)) == text)
    #expect(!percentEncoded(text).contains("/"))
  }

  @Test func jsonText() {
    #expect(jsonQuoted("a\"b\\c\nd\r\t\u{1}\u{1F}é") == #""a\"b\\c\nd\r\t\u0001\u001fé""#)
  }

  @Test func authorities() {
    #expect(Authority("localhost")?.host == "localhost")
    #expect(Authority("localhost:8420")?.host == "localhost")
    #expect(Authority("[::1]:8420")?.host == "::1")
    #expect(Authority("::1")?.host == "::1")
    for text in ["", ":80", "[::1", "[::1]x", "a:b", "a:99999"] { #expect(Authority(text) == nil, "\(text)") }
  }

  @Test func hostsOfLoopbackOnly() {
    let local = HostGuard(host: "127.0.0.1", allowedHosts: ["Buddy.Example:443"])
    for host in ["localhost", "a.localhost", "127.0.0.1", "127.9.9.9", "::1", "buddy.example"] {
      #expect(local.allows(host), "\(host)")
    }
    for host in ["evil.example", "127.0.0.1.evil.example", "1270.0.1", "localhost.evil", "192.168.1.2", "xlocalhost"] {
      #expect(!local.allows(host), "\(host)")
    }
    let open = HostGuard(host: "0.0.0.0", allowedHosts: [])
    #expect(open.allows("192.168.1.2") && open.allows("fe80::1") && !open.allows("evil.example"))
  }

  /// google/rpc/code.proto gives these; OUT_OF_RANGE and FAILED_PRECONDITION are 400 there.
  @Test func everyCodeHasItsStatus() {
    let expected: [Status.Code: Int] = [
      .ok: 200, .cancelled: 499, .unknown: 500, .invalidArgument: 400, .deadlineExceeded: 504, .notFound: 404,
      .alreadyExists: 409, .permissionDenied: 403, .resourceExhausted: 429, .failedPrecondition: 400, .aborted: 409,
      .outOfRange: 400, .unimplemented: 501, .internalError: 500, .unavailable: 503, .dataLoss: 500,
      .unauthenticated: 401,
    ]
    for code in Status.Code.allCases { #expect(code.httpStatus.code == expected[code], "\(code)") }
  }

  @Test func digests() throws {
    let hexadecimal = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    let base64 = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="
    #expect(try Upload.digest([.contentSHA256: hexadecimal.uppercased()]) == hexadecimal)
    #expect(try Upload.digest([.contentDigest: "sha-512=:xx:, sha-256=:\(base64):"]) == hexadecimal)
    #expect(try Upload.digest([.digest: "SHA-256=\(base64)"]) == hexadecimal)
    #expect(try Upload.digest([:]) == "")
    #expect(throws: GatewayError.self) { try Upload.digest([.contentSHA256: "abc"]) }
    #expect(throws: GatewayError.self) { try Upload.digest([.digest: "sha-256=abc"]) }
  }
}

import RPC
import ServiceKit
import ServiceTestSupport
import Storage
import TestSupport
import Testing

@Suite struct PageTests {
  @Test func tokensComeBack() throws {
    for key in ["0", "018f-…", "a b/c+d=", "🦊", String(repeating: "k", count: 500)] {
      let token = Page.token(after: key)
      #expect(token.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "-" || $0 == "_") })
      #expect(try Page(size: 7, token: token).after == key)
    }
    #expect(try Page(size: 0, token: "") == Page(size: 50, token: ""))
    #expect(try Page(size: 1000, token: "").size == 1000)
  }

  @Test func whatIsNoTokenIsAnInvalidArgument() {
    var random = SeededRandom()
    let alphabet = Array("aZ0-_=+/ é")
    let noise = (0..<200).map { _ in
      String((0..<Int.random(in: 1...40, using: &random)).map { _ in alphabet[Int.random(in: 0..<10, using: &random)] })
    }
    for token in noise + ["x", "MQ", "====", String(repeating: "A", count: 5000)] {
      // Noise may happen to be a token of this form; then it is taken for one.
      guard (try? Page(size: 1, token: token)) == nil else { continue }
      #expect(throws: Page.invalidToken) { try Page(size: 1, token: token) }
    }
    #expect(Page.invalidToken.code == .invalidArgument)
  }

  @Test(arguments: [-1, 1001, Int32.max, Int32.min])
  func sizesOutOfRange(_ size: Int32) {
    let error = #expect(throws: Status.self) { try Page(size: size, token: "") }
    #expect(error?.code == .invalidArgument)
  }

  @Test func storageErrorsTellCallersNothing() {
    let secret = "/home/somebody INSERT INTO"
    let cases: [(StorageError, Status.Code)] = [
      (.constraint(.unique, secret), .alreadyExists), (.constraint(.foreignKey, secret), .internalError),
      (.diskFull(secret), .resourceExhausted), (.corrupt(secret), .internalError), (.sql(secret), .internalError),
      (.io(secret), .internalError), (.closed, .unavailable), (.busy(secret), .unavailable),
    ]
    for (error, code) in cases {
      let status = Status(reporting: error)
      #expect(status.code == code)
      #expect(!status.message.contains("INSERT"))
    }
  }
}

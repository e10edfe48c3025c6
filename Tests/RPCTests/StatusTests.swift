import NIOCore
import Testing

@testable import RPC

@Suite(.timeLimit(.minutes(2)))
struct StatusTests {
  /// A server that fails each call with the code the request names.
  static var failing: Router {
    var router = Router()
    router.unary(Echo.say) { request, _ in
      let code = Status.Code(name: request) ?? .unknown
      throw Status(code, "it is \(request): 100 % … grün\n", metadata: ["x-detail": request])
    }
    router.serverStreaming(Echo.expand) { request, responses, _ in
      try await responses.write("first")
      throw Status(Status.Code(name: request) ?? .unknown, "after one")
    }
    return router
  }

  @Test(arguments: Status.Code.allCases.dropFirst())
  func everyCodeTravels(code: Status.Code) async throws {
    try await withPair(Self.failing) { (client, _) async throws in
      let status = await status { try await client.unary(Echo.say, code.name) }
      #expect(status?.code == code)
      #expect(status?.message == "it is \(code.name): 100 % … grün\n")
      #expect(status?.metadata["x-detail"] == code.name)
    }
  }

  @Test(arguments: Status.Code.allCases.dropFirst())
  func everyCodeTravelsBehindAMessage(code: Status.Code) async throws {
    try await withPair(Self.failing) { (client, _) async throws in
      var received: [String] = []
      let status = await status {
        for try await message in try await client.serverStreaming(Echo.expand, code.name) { received.append(message) }
      }
      #expect(received == ["first"])
      #expect(status?.code == code)
      #expect(status?.message == "after one")
    }
  }

  @Test func namesAreTheWireNames() {
    #expect(Status.Code.allCases.map(\.rawValue) == Array(0...16))
    for code in Status.Code.allCases { #expect(Status.Code(name: code.name) == code) }
    #expect(Status.Code.internalError.name == "INTERNAL")
    #expect(Status.Code(name: "NOTHING") == nil)
  }

  struct Convertible: StatusConvertible {
    var status: Status { Status(.failedPrecondition, "not now") }
  }
  struct Secret: Error, CustomStringConvertible {
    var description: String { "the password is 1234" }
  }

  @Test func whatHandlersThrow() async throws {
    var router = Router()
    router.unary(Echo.say) { request, _ in
      switch request {
      case "convertible": throw Convertible()
      case "cancelled": throw CancellationError()
      case "encode": return "unencodable"
      default: throw Secret()
      }
    }
    try await withPair(router) { (client, _) async throws in
      let convertible = await status { try await client.unary(Echo.say, "convertible") }
      #expect(convertible == Status(.failedPrecondition, "not now"))
      #expect(await status { try await client.unary(Echo.say, "cancelled") }?.code == .cancelled)
      #expect(await status { try await client.unary(Echo.say, "encode") }?.code == .internalError)
      let secret = await status { try await client.unary(Echo.say, "secret") }
      #expect(secret?.code == .unknown)
      #expect(secret?.message.contains("1234") == false)
    }
  }

  @Test func whatCannotBe() async throws {
    try await withPair { (client, _) async throws in
      let missing = await status { try await client.unary(Echo.missing, "a") }
      #expect(missing?.code == .unimplemented)
      #expect(missing?.message.contains("/test.Echo/Missing") == true)
      #expect(await status { try await client.unary(Echo.say, "undecodable") }?.code == .invalidArgument)
      #expect(await status { try await client.unary(Echo.say, "unencodable") }?.code == .internalError)
      // A method of another kind: no response where one must be, more than one request where one may be.
      let wrongKind = await status { try await client.unary(Echo.expand, "0 times") }
      #expect(wrongKind?.code == .internalError)
      let two = await status {
        try await client.clientStreaming(Echo.say) { requests in
          try await requests.write("a")
          try await requests.write("b")
        }
      }
      #expect(two?.code == .internalError)
      let none = await status { try await client.clientStreaming(Echo.say) { _ in } }
      #expect(none?.code == .internalError)
    }
  }

  @Test(arguments: ["", "plain", "100 %", "%41", "ü", "a\nb\tc", "日本語 🎈", "trailing %", "%zz"])
  func messagesArePercentEncoded(message: String) {
    let encoded = StatusMessage.encode(message)
    #expect(encoded.utf8.allSatisfy { $0 >= 0x20 && $0 <= 0x7E })
    #expect(StatusMessage.decode(encoded) == message)
  }

  @Test func oddMessagesAreTakenAsTheyStand() {
    #expect(StatusMessage.decode("50 % off") == "50 % off")
    #expect(StatusMessage.decode("%e4%bd%a0") == "你")
    #expect(StatusMessage.decode("%") == "%")
    #expect(StatusMessage.decode("%4") == "%4")
  }

  @Test func codesOfOtherProtocols() {
    let http = [400: Status.Code.internalError, 401: .unauthenticated, 403: .permissionDenied, 404: .unimplemented,
      429: .unavailable, 502: .unavailable, 503: .unavailable, 504: .unavailable, 418: .unknown, 500: .unknown]
    for (status, code) in http { #expect(Status.Code(httpStatus: status) == code) }
    let resets: [UInt32: Status.Code] = [0: .internalError, 1: .internalError, 2: .internalError, 7: .unavailable,
      8: .cancelled, 11: .resourceExhausted, 12: .permissionDenied, 99: .internalError]
    for (reset, code) in resets { #expect(Status.Code(resetCode: reset) == code) }
  }
}

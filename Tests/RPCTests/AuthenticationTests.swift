import NIOConcurrencyHelpers
import RPC
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(2)))
struct AuthenticationTests {
  private struct Unreachable: Error {}

  private static let door = Authentication.bearer { token, context in
    switch token {
    case "broken": throw Unreachable()
    case "barred": throw Status(.permissionDenied, "not you")
    case "alice": return Principal("alice", attributes: ["path": context.path])
    default: return nil
    }
  }

  /// Handlers of every kind that tell who calls.
  private static var router: Router {
    var router = Router()
    router.unary(Echo.say) { _, _ in Principal.current?.name ?? "nobody" }
    router.serverStreaming(Echo.expand) { _, responses, _ in
      try await responses.write(Principal.current?.name ?? "nobody")
    }
    router.clientStreaming(Echo.collect) { requests, _ in
      for try await _ in requests {}
      return Principal.current?.attributes["path"] ?? "nowhere"
    }
    router.bidirectional(Echo.chat) { requests, responses, _ in
      for try await _ in requests { try await responses.write(Principal.current?.name ?? "nobody") }
    }
    return router
  }

  @Test func everyKindOfCallKnowsWhoMakesIt() async throws {
    try await withPair(Self.router, interceptors: [Self.door], clientInterceptors: [Credentials(bearer: "alice")]) {
      (client, _) async throws in
      #expect(try await client.unary(Echo.say, "") == "alice")
      for try await name in try await client.serverStreaming(Echo.expand, "") { #expect(name == "alice") }
      #expect(try await client.clientStreaming(Echo.collect) { try await $0.write("") } == Echo.collect.path)
      try await client.bidirectional(Echo.chat) { requests, responses in
        try await requests.write("")
        requests.finish()
        for try await name in responses { #expect(name == "alice") }
      }
      // What the caller says for one call counts.
      let other = CallOptions(metadata: ["authorization": "Bearer mallory"])
      #expect(await status { try await client.unary(Echo.say, "", other) }?.code == .unauthenticated)
    }
  }

  @Test func whoProvesNothingIsRefused() async throws {
    try await withPair(Self.router, interceptors: [Self.door]) { (client, _) async throws in
      for value in ["", "Bearer", "Basic alice", "Bearer alice bob", "Beareralice"] {
        let options = CallOptions(metadata: value.isEmpty ? [:] : ["authorization": value])
        let end = await status { try await client.unary(Echo.say, "", options) }
        #expect(end?.code == .unauthenticated, "\(value)")
      }
      let twice: Metadata = ["authorization": "Bearer alice", "Authorization": "Bearer alice"]
      #expect(await status { try await client.unary(Echo.say, "", .init(metadata: twice)) }?.code == .unauthenticated)
      let anyCase: Metadata = ["authorization": "bEARER  alice"]
      #expect(try await client.unary(Echo.say, "", .init(metadata: anyCase)) == "alice")
    }
  }

  @Test func errorsOfTheCheckAreNotRefusals() async throws {
    try await withPair(Self.router, interceptors: [Self.door]) { (client, _) async throws in
      for (token, code) in [("broken", Status.Code.unknown), ("barred", .permissionDenied)] {
        let options = CallOptions(metadata: ["authorization": "Bearer \(token)"])
        #expect(await status { try await client.unary(Echo.say, "", options) }?.code == code)
      }
    }
  }

  @Test func servicesCanBeOpen() async throws {
    let door = Authentication(except: ["test.Echo"]) { _ in nil }
    try await withPair(Self.router, interceptors: [door]) { (client, _) async throws in
      #expect(try await client.unary(Echo.say, "") == "nobody")
    }
  }

  // MARK: - Credentials

  @Test func aTokenIsRenewedBeforeItEndsAndKeptWhileThatFails() async throws {
    let asked = NIOLockedValueBox(0)
    let credentials = try await Credentials(minimumRetry: .milliseconds(5)) {
      let number = asked.withLockedValue { asked in
        asked += 1
        return asked
      }
      if number == 2 || number == 3 { throw Unreachable() }
      return Credentials.Token("\(number)", lifetime: number < 5 ? .milliseconds(20) : nil)
    }
    var router = Router()
    router.unary(Echo.say) { _, context in context.metadata.all("authorization").joined(separator: ",") }
    try await withPair(router, clientInterceptors: [credentials]) { (client, _) async throws in
      var seen: [String] = []
      try await eventually("the fifth token") {
        let token = try await client.unary(Echo.say, "")
        if seen.last != token { seen.append(token) }
        return token == "Bearer 5"
      }
      #expect(Set(seen).isSubset(of: ["Bearer 1", "Bearer 4", "Bearer 5"]))
    }
    #expect(asked.withLockedValue { $0 } == 5)
  }

  @Test func withoutAFirstTokenThereAreNone() async {
    await #expect(throws: Unreachable.self) { _ = try await Credentials { throw Unreachable() } }
  }
}

import RPC
import Testing

@Suite(.timeLimit(.minutes(2)))
struct AccessListTests {
  private static let text = """
    # caller                  methods
    spiffe://buddy/gateway    *
    spiffe://buddy/execution  test.Who, test.Echo/Say   # two rules in one
    spiffe://buddy/tools/*    test.Echo/Say
    *                         grpc.health.v1.Health
    """

  @Test(arguments: [
    ("spiffe://buddy/gateway", "/any.Service/Method", true),
    ("spiffe://buddy/execution", "/test.Who/AmI", true),
    ("spiffe://buddy/execution", "/test.WhoElse/AmI", false),
    ("spiffe://buddy/execution", "/test.Echo/Say", true),
    ("spiffe://buddy/execution", "/test.Echo/SayMore", false),
    ("spiffe://buddy/execution/more", "/test.Who/AmI", false),
    ("spiffe://buddy/tools/fetch", "/test.Echo/Say", true),
    ("spiffe://buddy/tools/", "/test.Echo/Say", false),
    ("spiffe://buddy/tools", "/test.Echo/Say", false),
    ("spiffe://buddy/toolsmith", "/test.Echo/Say", false),
    ("spiffe://other/gateway", "/test.Echo/Say", false),
    ("spiffe://other/gateway", "/grpc.health.v1.Health/Check", true),
    (nil, "/grpc.health.v1.Health/Check", true),
    (nil, "/test.Echo/Say", false),
  ] as [(String?, String, Bool)])
  func rules(caller: String?, path: String, isAllowed: Bool) throws {
    #expect(try AccessList(text: Self.text).allows(caller, path: path) == isAllowed)
  }

  @Test func nothingIsAllowedByDefault() throws {
    #expect(!AccessList([]).allows("spiffe://buddy/gateway", path: "/test.Echo/Say"))
    #expect(try !AccessList(text: "# nothing\n\n").allows("spiffe://buddy/gateway", path: "/test.Echo/Say"))
  }

  @Test(arguments: [
    ("gateway *", "line 1: \"gateway\" is neither"), ("\nspiffe://a/b*c *", "line 2: \"spiffe://a/b*c\" is neither"),
    ("spiffe://a/b* *", "line 1: \"spiffe://a/b*\" is neither"),
    ("spiffe://a/b", "line 1: spiffe://a/b may call nothing"),
    ("* /a/b", "line 1: \"/a/b\" is neither"), ("* a/b/c", "line 1: \"a/b/c\" is neither"),
    ("* a/*", "line 1: \"a/*\" is neither"),
  ])
  func unreadableTexts(text: String, problem: String) {
    let error = #expect(throws: AccessList.ParseError.self) { try AccessList(text: text) }
    #expect(error?.description.hasPrefix(problem) == true)
  }

  @Test func itStandsBeforeEveryHandler() async throws {
    let authority = try TestAuthority()
    let tls = try ServerTLS(
      certificate: authority.issue(service: "progress"), clientCertificates: .optional(ca: authority.file))
    let list = try AccessList(text: Self.text)
    try await withTLSServer(tls, interceptors: [list]) { (address) async throws in
      let trust = ClientTLS.Trust.ca(file: authority.file)
      let known = try ClientTLS(trust: trust, certificate: authority.issue(service: "execution"))
      try await withClient(address, known) { (client) async throws in
        let answer = try await client.unary(Echo.say, "x")
        #expect(answer == "x")
        #expect(
          await status { try await client.serverStreaming(Echo.expand, "3").reduce(0) { count, _ in count + 1 } }
            == Status(.permissionDenied, "spiffe://buddy/execution may not call /test.Echo/Expand"))
      }
      try await withClient(address, ClientTLS(trust: trust)) { (client) async throws in
        #expect(await status { try await client.unary(Echo.say, "x") }?.code == .unauthenticated)
      }
    }
    // Plain text has no callers.
    try await withPair(interceptors: [list]) { client, _ in
      #expect(await status { try await client.unary(Echo.say, "x") }?.code == .unauthenticated)
    }
  }
}

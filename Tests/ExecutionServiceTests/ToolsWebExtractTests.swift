import NIOHTTP1
import Testing

@testable import ExecutionService

@Suite struct WebExtractTests {
  static let page = """
    <!doctype html><html lang="en"><head><title> Lighthouses &amp; piers </title>
    <meta name="description" content="A list of&#10;lighthouses."><style>p{color:red}</style></head>
    <body><header><nav><a href="/home">Home</a></nav></header>
    <main><h1>Lighthouses</h1><p>Some <b>light</b>houses&nbsp;shine.<br>Others   do not.</p>
    <script>var hidden = "<p>no</p>";</script>
    <ul><li>First <a href="one.html">one</a></li><li>Second</li></ul><ol start="3"><li>third</li></ol>
    <pre>  a
      b</pre>
    <table><caption>Heights</caption><thead><tr><th>Name</th><th>Height</th></tr></thead>
    <tr><td>Eddystone</td><td>49 m</td></tr><tr><td>"Bell, Rock"</td><td>35 m</td></tr></table>
    <table><tr><th rowspan=2>Group</th><th colspan=2>Both</th></tr><tr><td>a<td>b</tr><tr><td>g<td>1<td>2</tr></table>
    <h2>More</h2><p hidden>secret</p><a href="one.html#part">One again</a> <a href="javascript:alert(1)">x</a>
    <a href="https://other.example/a b">Other</a> <a href="mailto:a@b.example">Mail</a><a href="#top">Top</a></main>
    <footer>Imprint</footer></body></html>
    """

  static func call(
    _ objective: String, _ parameters: [String: String] = [:], html: [UInt8]? = nil, type: String = "text/html"
  ) -> ToolCall {
    let inputs = html.map { [ToolInput(name: "page.html", mediaType: type, bytes: $0)] } ?? []
    return ToolCall(missionID: "m", objective: objective, parameters: parameters, inputs: inputs, idempotencyKey: "k")
  }

  static func file(_ objective: String, _ parameters: [String: String] = [:], html: String = page) async throws
    -> ToolOutput
  {
    try await WebExtractTool(options: .init()).run(call(objective, parameters, html: Array(html.utf8))) { _, _ in }
  }

  static func fetch(
    _ url: String, timeout: Duration = .seconds(20), limit: Int = 1_000_000, _ parameters: [String: String] = [:]
  ) async throws -> ToolOutput {
    let options = ToolboxOptions(allowPrivateAddresses: true, fetchTimeout: timeout, maximumPageBytes: limit)
    return try await WebExtractTool(options: options).run(call("Get \(url)", parameters)) { _, _ in }
  }

  static func code(_ body: () async throws -> ToolOutput) async -> String? {
    await #expect(throws: ToolError.self) { _ = try await body() }?.code
  }

  // MARK: - Parsing

  @Test func textKeepsBlocksAndDropsTheRest() async throws {
    let text = try await Self.file("extract the text").artifact("page.txt")
    #expect(
      text == """
        Lighthouses

        Some lighthouses shine.
        Others do not.

        - First one
        - Second

        3. third

          a
          b

        Heights
        Name | Height
        Eddystone | 49 m
        "Bell, Rock" | 35 m

        Group | Both
        a | b
        g | 1 | 2

        More

        One again x Other MailTop

        """)
  }

  @Test func linksAreAbsoluteAndEachOnce() async throws {
    try await PageServer.run(["/dir/index.html": .html(Self.page)]) { server in
      let output = try await Self.fetch(server.url("/dir/index.html"))
      let links = output.artifact("links.csv")?.split(separator: "\r\n").map(String.init)
      let base = "http://127.0.0.1:\(server.port)"
      #expect(
        links == [
          "text,url", "Home,\(base)/home", "one,\(base)/dir/one.html", "One again,\(base)/dir/one.html#part",
          "Other,https://other.example/a%20b", "Mail,mailto:a@b.example",
        ])
    }
  }

  @Test func tablesAreExpanded() async throws {
    let output = try await Self.file("show the tables of page.html")
    #expect(output.artifact("table-1.csv") == "Name,Height\r\nEddystone,49 m\r\n\"\"\"Bell, Rock\"\"\",35 m\r\n")
    #expect(output.artifact("table-2.csv") == "Group,Both,Both\r\nGroup,a,b\r\ng,1,2\r\n")
    #expect(output.text.hasPrefix("Table 1: Heights (3 rows, 2 columns)"))
  }

  @Test func tableSpansAreBounded() async throws {
    let html = "<table><tr><th colspan=99999999 rowspan=99999999>x</th><th>y</th></tr><tr><td>1</td></tr></table>"
    let table = try await Self.file("tables", html: html).artifact("table-1.csv")
    #expect((table?.count ?? 0) < 20_000)
    #expect(try await Self.file("tables", html: "<table><tr><td>layout</td></tr></table>").text.contains("no tables"))
  }

  @Test(arguments: [
    ("What is the title of page.html?", "Lighthouses & piers"),
    ("the meta description please", "A list of lighthouses."),
    ("list the headings", "Lighthouses\n  More"),
  ])
  func focusFollowsTheObjective(objective: String, text: String) async throws {
    #expect(try await Self.file(objective).text == text)
  }

  @Test func jsonSaysWhatWasFound() async throws {
    let output = try await Self.file("overview")
    let json = try JSONFields(Array((output.artifact("page.json") ?? "").utf8))
    #expect(json.string("title") == "Lighthouses & piers" && json.string("language") == "en")
    #expect(json.int("links") == 5 && json.array("tables").count == 2 && json.array("headings").count == 2)
  }

  @Test func xpathSelects() async throws {
    #expect(try await Self.file("x", ["xpath": "//h2"]).text == "1 match\n- More")
    #expect(try await Self.file("x", ["xpath": "//td[1]/text()"]).text.contains("- Eddystone"))
    #expect(try await Self.file("x", ["xpath": "//main//a/@href"]).text.contains("- one.html\n"))
    #expect(try await Self.file("x", ["xpath": "count(//table)"]).text == "1 match\n- 2")
    #expect(try await Self.file("x", ["xpath": "//video"]).text == "The XPath selects nothing on this page.")
    for bad in ["//[", "//a[", "foo(", "//x:y", "$v", String(repeating: "/a", count: 600)] {
      #expect(await Self.code { try await Self.file("x", ["xpath": bad]) } == "BAD_XPATH", "\(bad)")
    }
  }

  @Test func costlyXPathIsStopped() async throws {
    let html = String(repeating: "<p><i></i></p>", count: 3_000)
    let costly = "count(//*[count(//*[count(//*) > 0]) > 0])"
    #expect(await Self.code { try await Self.file("x", ["xpath": costly], html: html) } == "XPATH_TOO_COSTLY")
  }

  @Test func brokenAndHostilePagesAreRead() async throws {
    #expect(try await Self.file("text", html: "<p>open <b>bold <i>both</p> <td>cell").text.contains("open bold both"))
    let deep = String(repeating: "<div>", count: 5_000) + "bottom"
    let output = try await Self.file("text", html: "<p>top</p>" + deep)
    #expect(output.text.contains("nested more than 256 levels"), "\(output.text)")
    #expect(output.text.contains("top"))
    #expect(try await Self.file("text", html: "<p>a\0b</p>").artifact("page.txt") == "a b\n")
    #expect(await Self.code { try await Self.file("text", html: "  \n ") } == "EMPTY_INPUT")
    let entities = "<!DOCTYPE x [<!ENTITY a SYSTEM \"file:///etc/passwd\">]><p>&a;</p>"
    #expect(try await Self.file("text", html: entities).artifact("page.txt")?.contains("root:") == false)
  }

  @Test(arguments: [
    ("text/html; charset=iso-8859-1", [0xE9, 0x20, 0x93, 0x78, 0x94] as [UInt8], "é “x”"),
    ("text/html; charset=utf-8", [0xC3, 0xA9], "é"), ("text/html", [0xC3, 0xA9], "é"), ("text/html", [0xE9], "é"),
    ("text/html; charset=shift_jis", [0x93, 0xFA, 0x96, 0x7B], "日本"),
    ("text/html; charset=koi8-r", [0xCD, 0xC9, 0xD2], "мир"),
  ])
  func charsets(type: String, bytes: [UInt8], text: String) async throws {
    let html = Array("<html><body><p>".utf8) + bytes + Array("</p></body></html>".utf8)
    let output = try await WebExtractTool(options: .init()).run(Self.call("text", html: html, type: type)) { _, _ in }
    #expect(output.artifact("page.txt") == text + "\n")
  }

  @Test func charsetOfMetaElement() async throws {
    let html =
      Array("<meta http-equiv=Content-Type content='text/html; charset=windows-1251'><p>".utf8) + [0xEC, 0xE8, 0xF0]
    let output = try await WebExtractTool(options: .init()).run(Self.call("text", html: html)) { _, _ in }
    #expect(output.artifact("page.txt") == "мир\n")
    let unknown = try await WebExtractTool(options: .init()).run(
      Self.call("text", html: Array("<p>x".utf8), type: "text/html; charset=klingon")
    ) { _, _ in }
    #expect(unknown.text.contains("charset 'klingon' is unknown"))
  }
}

/// Fetching, from a real server on loopback.
@Suite struct WebFetchTests {
  @Test func redirectsAreFollowedAndCounted() async throws {
    var answers: [String: PageServer.Answer] = ["/end": .html("<title>End</title><p>here")]
    for step in 0..<6 { answers["/\(step)"] = .redirect(step == 5 ? "/end" : "\(step + 1)") }
    try await PageServer.run(answers) { server in
      let output = try await WebExtractTests.fetch(server.url("/1"))
      let json = try JSONFields(Array((output.artifact("page.json") ?? "").utf8))
      #expect(json.string("url") == server.url("/end") && json.array("redirects").count == 5)
      #expect(await WebExtractTests.code { try await WebExtractTests.fetch(server.url("/0")) } == "TOO_MANY_REDIRECTS")
    }
  }

  @Test func everyHopIsChecked() async throws {
    let targets = [
      "file:///etc/passwd": "UNSUPPORTED_SCHEME", "ftp://127.0.0.1/": "UNSUPPORTED_SCHEME",
      "http://u:p@127.0.0.1/": "BAD_URL",
    ]
    for (target, code) in targets {
      try await PageServer.run(["/r": .redirect(target)]) { server in
        #expect(await WebExtractTests.code { try await WebExtractTests.fetch(server.url("/r")) } == code)
      }
    }
  }

  @Test func failuresHaveTheirCodes() async throws {
    var gone = PageServer.Answer.html("nope")
    gone.status = .gone
    let image = PageServer.Answer(headers: ["content-type": "image/png"], body: [0x89, 0x50])
    let large = PageServer.Answer.html(String(repeating: "x", count: 200_000))
    let endless = PageServer.Answer(body: Array(repeating: 0x78, count: 4_096), endless: true)
    let silent = PageServer.Answer(silent: true)
    try await PageServer.run(["/410": gone, "/png": image, "/large": large, "/endless": endless, "/silent": silent]) {
      server in
      #expect(await WebExtractTests.code { try await WebExtractTests.fetch(server.url("/410")) } == "HTTP_STATUS")
      #expect(await WebExtractTests.code { try await WebExtractTests.fetch(server.url("/none")) } == "HTTP_STATUS")
      #expect(
        await WebExtractTests.code { try await WebExtractTests.fetch(server.url("/png")) } == "UNSUPPORTED_CONTENT")
      for path in ["/large", "/endless"] {
        #expect(
          await WebExtractTests.code { try await WebExtractTests.fetch(server.url(path), limit: 100_000) }
            == "RESPONSE_TOO_LARGE")
      }
      let code = await WebExtractTests.code {
        try await WebExtractTests.fetch(server.url("/silent"), timeout: .milliseconds(200))
      }
      #expect(code == "TIMED_OUT")
    }
    let port = try await PageServer.run([:]) { $0.port }
    #expect(
      await WebExtractTests.code { try await WebExtractTests.fetch("http://127.0.0.1:\(port)/") } == "UNREACHABLE")
    #expect(await WebExtractTests.code { try await WebExtractTests.fetch("http://host.invalid/") } == "HOST_NOT_FOUND")
  }

  @Test func plainHTTPOnATLSPortFailsClearly() async throws {
    try await PageServer.run(["/": .html("x")]) { server in
      let code = await WebExtractTests.code { try await WebExtractTests.fetch("https://127.0.0.1:\(server.port)/") }
      #expect(code == "TLS_FAILED")
    }
  }

  @Test func compressedPagesAreUnpackedWithinTheLimit() async throws {
    // gzip of "<p>" + 1,000 × "a", made with Python's gzip module (mtime 0).
    let small = Self.bytes("1f8b0800000000000203b329b04b1c05a360140c7b000051158f99eb030000")
    let answers = [
      "/small": PageServer.Answer(headers: ["content-type": "text/html", "content-encoding": "gzip"], body: small)
    ]
    try await PageServer.run(answers) { server in
      let output = try await WebExtractTests.fetch(server.url("/small"))
      #expect(output.artifact("page.txt") == String(repeating: "a", count: 1_000) + "\n")
      #expect(
        await WebExtractTests.code { try await WebExtractTests.fetch(server.url("/small"), limit: 500) }
          == "RESPONSE_TOO_LARGE")
    }
  }

  private static func bytes(_ hex: String) -> [UInt8] {
    let digits = hex.compactMap(\.hexDigitValue)
    return stride(from: 0, to: digits.count - 1, by: 2).map { UInt8(digits[$0] * 16 + digits[$0 + 1]) }
  }

  @Test func plainTextAndJSONAreTakenAsTheyAre() async throws {
    let answers = [
      "/t": PageServer.Answer(headers: ["content-type": "text/plain; charset=utf-8"], body: Array("a < b\nc".utf8)),
      "/j": PageServer.Answer(headers: ["content-type": "application/json"], body: Array("{\"a\": 1}".utf8)),
    ]
    try await PageServer.run(answers) { server in
      let text = try await WebExtractTests.fetch(server.url("/t"))
      let json = try await WebExtractTests.fetch(server.url("/j"))
      #expect(text.artifact("page.txt") == "a < b\nc\n")
      #expect(json.artifact("page.txt") == "{\"a\": 1}\n")
    }
  }

  @Test func severalPagesAndOneThatFails() async throws {
    try await PageServer.run(["/a": .html("<title>A</title>"), "/b": .html("<title>B</title>")]) { server in
      let options = ToolboxOptions(allowPrivateAddresses: true)
      let objective = "titles of \(server.url("/a")), \(server.url("/b")) and \(server.url("/c"))."
      let output = try await WebExtractTool(options: options).run(WebExtractTests.call(objective)) { _, _ in }
      #expect(
        output.text.contains("\n\nA\n\n") && output.text.contains("\n\nB\n\n") && output.text.contains("status 404"))
      #expect(
        output.artifact("page-1.json") != nil && output.artifact("page-2.json") != nil
          && output.artifact("page-3.json") == nil)
    }
  }

  @Test func privateAddressesAreRefusedWithoutARequest() async throws {
    try await PageServer.run(["/": .html("secret")]) { server in
      for host in [
        "127.0.0.1", "localhost", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "[::1]", "[::ffff:127.0.0.1]",
      ] {
        let call = WebExtractTests.call("x", ["url": "http://\(host):\(server.port)/"])
        let code = await WebExtractTests.code { try await WebExtractTool(options: .init()).run(call) { _, _ in } }
        #expect(code == "ADDRESS_REFUSED", "\(host)")
      }
      #expect(server.requests("/") == 0)
    }
  }

  @Test func cancellingEndsAFetch() async throws {
    try await PageServer.run(["/": PageServer.Answer(silent: true)]) { server in
      let task = Task { try await WebExtractTests.fetch(server.url("/")) }
      while server.requests("/") == 0 { await Task.yield() }
      task.cancel()
      await #expect(throws: CancellationError.self) { _ = try await task.value }
    }
  }
}

/// The guard against server-side request forgery, address by address.
@Suite struct AddressGuardTests {
  @Test(arguments: [
    "0.0.0.0", "0.255.255.255", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.0.1",
    "198.18.0.1",
    "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1",
    "100::1",
    "2001::1", "2001:db8::1", "2002:7f00:1::", "2002:0808:0808::", "3fff::1", "5f00::1", "fc00::1", "fd12:3456::1",
    "fe80::1", "fec0::1", "ff02::1", "4000::1",
  ])
  func refused(text: String) throws {
    let address = try #require(try HostResolver.literal6(text) ?? IPAddress.loose4(text))
    #expect(AddressGuard.refusal(address) != nil, "\(text)")
  }

  @Test(arguments: [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1",
    "169.253.255.255", "172.15.255.255", "172.32.0.0", "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0",
    "223.255.255.255", "2606:4700::1111", "2a00:1450:4001::200e", "::ffff:8.8.8.8", "64:ff9b::808:808",
  ])
  func allowed(text: String) throws {
    let address = try #require(try HostResolver.literal6(text) ?? IPAddress.loose4(text))
    #expect(AddressGuard.refusal(address) == nil, "\(text)")
  }

  @Test(arguments: [
    ("127.0.0.1", "127.0.0.1"), ("127.1", "127.0.0.1"), ("2130706433", "127.0.0.1"), ("0x7f000001", "127.0.0.1"),
    ("0x7f.0x1", "127.0.0.1"),
    ("0177.0.0.01", "127.0.0.1"), ("10.1.257", "10.1.1.1"), ("127.0.0.1.", "127.0.0.1"), ("0", "0.0.0.0"),
    ("0xA9FEA9FE", "169.254.169.254"),
  ])
  func looseSpellings(text: String, expected: String) throws {
    #expect(try IPAddress.loose4(text)?.description == expected)
    #expect(try WebAddress("http://\(text)/").host == expected)
  }

  @Test(arguments: ["256.1.1.1", "1.2.3.4.5", "4294967296", "1.2.3.999", "09.1.1.1", "a.b.1", "0x100000000"])
  func numbersThatAreNoAddress(text: String) {
    let error = #expect(throws: ToolError.self) { _ = try IPAddress.loose4(text) }
    #expect(error?.code == "BAD_URL")
  }

  @Test(arguments: [
    ("file:///etc/passwd", "UNSUPPORTED_SCHEME"), ("gopher://x/", "UNSUPPORTED_SCHEME"), ("http://", "BAD_URL"),
    ("http:///x", "BAD_URL"),
    ("http://user@host/", "BAD_URL"), ("http://[fe80::1%25eth0]/", "BAD_URL"), ("not a url", "BAD_URL"),
    ("http://a:99999/", "BAD_URL"),
    ("http://a:0/", "BAD_URL"),
  ])
  func badAddresses(text: String, code: String) {
    let error = #expect(throws: ToolError.self) { _ = try WebAddress(text) }
    #expect(error?.code == code, "\(text)")
  }

  @Test(arguments: [
    ("Get the links on https://a.example/x?y=1.", ["https://a.example/x?y=1"]),
    ("See (https://a.example/wiki/X_(y)) and http://b.example!", ["https://a.example/wiki/X_(y)", "http://b.example"]),
    ("title of www.example.org/page, please", ["https://www.example.org/page"]),
    ("title of example.com", ["https://example.com"]), ("average price in sales.csv", []), ("mail a@example.com", []),
    ("1 http://a.example http://a.example", ["http://a.example"]),
  ])
  func addressesInObjectives(objective: String, expected: [String]) throws {
    #expect(try WebAddress.find(in: objective) == expected)
  }

  @Test func unclosedParenthesisStaysOut() throws {
    #expect(try WebAddress.find(in: "(see https://a.example/b)") == ["https://a.example/b"])
    #expect(
      #expect(throws: ToolError.self) { _ = try WebAddress.find(in: "read ftp://a.example/f") }?.code
        == "UNSUPPORTED_SCHEME")
  }
}

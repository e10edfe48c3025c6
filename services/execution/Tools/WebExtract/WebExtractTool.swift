/// `web_extract`: title, text, links and tables of web pages, fetched or given as HTML files.
struct WebExtractTool: Tool {
  static let maximumPages = 5
  let options: ToolboxOptions

  let declaration = ToolDeclaration(
    name: "web_extract",
    description:
      "Fetches a web page (or takes an HTML file) and extracts title, text, links, tables, or what an XPath selects.",
    inputSchema: """
      {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
          "url": {
            "type": "string", "format": "uri",
            "description": "Page to fetch. Default: the addresses in the objective, five at most."
          },
          "focus": {
            "type": "string", "enum": ["overview", "title", "text", "links", "tables", "headings", "description"],
            "description": "What to show first. Default: what the objective asks for."
          },
          "xpath": {
            "type": "string", "maxLength": \(HTMLXPath.maximumLength), "description": "XPath 1.0, e.g. //h2/text()."
          }
        },
        "additionalProperties": false
      }
      """,
    intents: ["web_extraction": 0.9], hasSideEffects: false, isIdempotent: true, risk: .medium,
    timeLimit: .seconds(120),
    maximumInputBytes: 50 * 1024 * 1024, maximumOutputBytes: 32 * 1024 * 1024)

  func run(_ call: ToolCall, progress: @escaping ToolProgress) async throws -> ToolOutput {
    let focus = try focus(call)
    let sources = try sources(call)
    var sections: [String] = [], artifacts: [ToolArtifact] = []
    var failures: [ToolError] = []
    var bytesRead = 0
    let gate = ProgressGate()
    for (index, source) in sources.enumerated() {
      let start = Double(index) / Double(sources.count), share = 1 / Double(sources.count)
      do {
        let (page, fetched, bytes) = try await load(source, call) { fraction, message in
          if gate.admits(start + share * fraction) { await progress(start + share * fraction, message) }
        }
        bytesRead += bytes
        let text = PageReport.text(page, focus)
        sections.append(sources.count == 1 ? text : "── \(page.url)\n\n\(text)")
        artifacts += PageReport.artifacts(page, fetched: fetched, number: sources.count == 1 ? nil : index + 1)
      } catch let error as ToolError {
        failures.append(error)
        sections.append("── \(source.name)\n\n\(error.message)")
      }
    }
    if let failure = failures.first, failures.count == sources.count { throw failure }
    if gate.admits(1) { await progress(1, "Extracted \(counted(sources.count - failures.count, "page"))") }
    return ToolOutput(text: Self.cut(sections.joined(separator: "\n\n")), artifacts: artifacts, bytesRead: bytesRead)
  }

  private enum Source: Sendable {
    case address(WebAddress)
    case file(ToolInput)

    var name: String {
      switch self {
      case .address(let address): address.text
      case .file(let input): input.name
      }
    }
  }

  private func focus(_ call: ToolCall) throws -> PageFocus {
    guard let name = call.parameter("focus") else { return PageFocus.of(call.objective) }
    guard let focus = PageFocus(rawValue: name.lowercased()) else {
      throw ToolError(
        "BAD_PARAMETER",
        "There is no focus '\(name)'; it can be \(listed(PageFocus.allCases.map(\.rawValue), conjunction: "or")).",
        details: ["parameter": "focus", "value": name])
    }
    return focus
  }

  /// The parameter, else HTML inputs, else the addresses in the objective. Throws `MISSING_URL`.
  private func sources(_ call: ToolCall) throws -> [Source] {
    if let url = call.parameter("url") {
      let written = url.split { $0.isWhitespace || $0 == "," }.map(String.init)
      return try written.prefix(Self.maximumPages).map {
        .address(try WebAddress($0.contains("://") ? $0 : "https://" + $0))
      }
    }
    let pages = call.inputs.filter(Self.looksLikePage)
    let found = try WebAddress.find(in: call.objective, except: call.inputs.map(\.name))
    let sources = pages.map { Source.file($0) } + (try found.map { .address(try WebAddress($0)) })
    guard !sources.isEmpty else {
      throw ToolError(
        "MISSING_URL", "The objective names no web address; write one like https://example.org or attach an HTML file.")
    }
    return Array(sources.prefix(Self.maximumPages))
  }

  static func looksLikePage(_ input: ToolInput) -> Bool {
    let name = input.name.lowercased(), type = input.mediaType.lowercased()
    return type.hasPrefix("text/html") || type.hasPrefix("application/xhtml")
      || [".html", ".htm", ".xhtml"].contains(where: name.hasSuffix)
  }

  private func load(
    _ source: Source, _ call: ToolCall, _ progress: @escaping ToolProgress
  ) async throws -> (PageContent, FetchedPage?, Int) {
    let xpath = call.parameter("xpath")
    switch source {
    case .file(let input):
      guard input.bytes.contains(where: { $0 > 0x20 }) else {
        throw ToolError("EMPTY_INPUT", "\(input.name) is empty.", details: ["input": input.name])
      }
      let type = ContentType(input.mediaType)
      let page = try await parse(input.bytes, charset: type.charset, base: input.name, xpath, progress)
      return (page, nil, input.bytes.count)
    case .address(let address):
      let fetched = try await PageFetcher(options: options).fetch(address) { fraction, message in
        await progress(0.8 * fraction, message)
      }
      let page = try await content(fetched, xpath, progress)
      return (page, fetched, fetched.bytes.count)
    }
  }

  /// Throws `UNSUPPORTED_CONTENT` for pictures, archives and the like.
  private func content(_ fetched: FetchedPage, _ xpath: String?, _ progress: @escaping ToolProgress) async throws
    -> PageContent
  {
    switch PageKind.of(fetched.contentType, fetched.bytes) {
    case .html:
      return try await parse(fetched.bytes, charset: fetched.charset, base: fetched.address.text, xpath, progress)
    case .text:
      if let xpath {
        throw ToolError(
          "BAD_XPATH", "The answer is \(fetched.contentType), not HTML; an XPath selects nothing in it.",
          details: ["xpath": xpath])
      }
      let (bytes, charset, url) = (fetched.bytes, fetched.charset, fetched.address.text)
      return try await onWorkerThread(progress: progress) { _ in
        PageContent(text: Charset.text(bytes, header: charset), url: url)
      }
    case .other:
      let type = fetched.contentType.isEmpty ? "binary data" : fetched.contentType
      throw ToolError(
        "UNSUPPORTED_CONTENT", "\(fetched.address.text.shortened(to: 120)) is \(type), neither HTML nor text.",
        details: ["url": fetched.address.text, "contentType": fetched.contentType])
    }
  }

  private func parse(
    _ bytes: [UInt8], charset: String?, base: String, _ xpath: String?, _ progress: @escaping ToolProgress
  ) async throws -> PageContent {
    try await onWorkerThread(progress: progress) { work in
      work.report(0.82, "Parsing \(counted(bytes.count, "byte")) of HTML")
      let prepared = Charset.prepare(bytes, header: charset)
      let document = try HTMLParser.parse(
        prepared.bytes, charset: prepared.charset, xpath: xpath, check: work.checkCancellation)
      work.report(0.9, "Extracting from \(counted(document.tree.nodes.count, "element"))")
      var page = try PageContent(document, base: base, check: work.checkCancellation)
      if let note = prepared.note { page.notes.append(note) }
      work.report(1, "Extracted \(page.title.isEmpty ? base : page.title)")
      return page
    }
  }

  private static func cut(_ text: String) -> String {
    text.utf8.count <= 60_000 ? text : String(text.prefix(15_000)) + "…\n(the rest is in the artifacts)"
  }
}

/// How to read an answer.
enum PageKind: Sendable, Hashable {
  case html, text, other

  /// By its type; by its first bytes where none is given.
  static func of(_ contentType: String, _ bytes: [UInt8]) -> PageKind {
    if contentType == "text/html" || contentType == "application/xhtml+xml" { return .html }
    if contentType.hasPrefix("text/") || contentType.contains("json") || contentType.contains("xml")
      || contentType == "application/javascript"
    {
      return .text
    }
    guard contentType.isEmpty || contentType == "application/octet-stream" else { return .other }
    let start = bytes.prefix(512).drop { $0 <= 0x20 }
    if start.first == UInt8(ascii: "<") { return .html }
    return CSVFormat.firstInvalidUTF8(bytes) == nil ? .text : .other
  }
}

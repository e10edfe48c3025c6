/// What of a page a person asked to see first.
enum PageFocus: String, Sendable, CaseIterable {
  case overview, title, text, links, tables, headings, description

  /// From the words of an objective, without its addresses.
  static func of(_ objective: String) -> PageFocus {
    let words = Set(
      objective.replacing(pattern: "[a-z]+://\\S+", with: " ").lowercased()
        .split { !$0.isLetter }.map { DataWords.stem(String($0)) })
    let signs: [(PageFocus, Set<String>)] = [
      (.tables, ["table", "row", "tabular", "csv"]), (.links, ["link", "hyperlink", "href", "url", "anchor"]),
      (.headings, ["heading", "headline", "header", "outline", "section"]), (.title, ["title"]),
      (.description, ["description", "meta"]),
      (.text, ["text", "content", "article", "read", "body", "word", "paragraph", "story"]),
    ]
    return signs.first { !$0.1.isDisjoint(with: words) }?.0 ?? .overview
  }
}

/// Turns pages into what a person reads and into artifacts.
enum PageReport {
  private static let shownText = 4_000
  private static let shownLinks = 40
  private static let shownRows = 15

  static func text(_ page: PageContent, _ focus: PageFocus) -> String {
    var parts: [String] = []
    if let matches = page.matches {
      parts.append(matchesText(matches))
    } else {
      parts.append(body(page, focus))
    }
    parts += page.notes
    return parts.filter { !$0.isEmpty }.joined(separator: "\n\n")
  }

  private static func body(_ page: PageContent, _ focus: PageFocus) -> String {
    switch focus {
    case .title: return page.title.isEmpty ? "\(page.url) has no title." : page.title
    case .description: return page.summary.isEmpty ? "\(page.url) has no description." : page.summary
    case .headings:
      if page.headings.isEmpty { return "\(page.url) has no headings." }
      return page.headings.prefix(100).map { String(repeating: "  ", count: $0.level - 1) + $0.text }.joined(
        separator: "\n")
    case .links: return linksText(page)
    case .tables: return tablesText(page)
    case .text: return page.text.isEmpty ? "\(page.url) has no readable text." : excerpt(page.text, shownText)
    case .overview: return overview(page)
    }
  }

  private static func overview(_ page: PageContent) -> String {
    let facts = [
      counted(page.headings.count, "heading"), counted(page.links.count, "link"), counted(page.tables.count, "table"),
      counted(page.text.split(whereSeparator: \.isWhitespace).count, "word"),
    ]
    let head = [page.title, page.url == page.title ? "" : page.url, page.summary].filter { !$0.isEmpty }.joined(
      separator: "\n")
    return [head, facts.joined(separator: ", "), excerpt(page.text, 1_500)].filter { !$0.isEmpty }.joined(
      separator: "\n\n")
  }

  private static func linksText(_ page: PageContent) -> String {
    if page.links.isEmpty { return "\(page.url) has no links." }
    let rows = page.links.prefix(shownLinks).map { [$0.text, $0.url] }
    var table = TextTable(header: ["text", "url"], rows: rows)
    table.maximumWidth = 100
    let more =
      page.links.count > shownLinks ? "\n… \(counted(page.links.count - shownLinks, "more link")) in links.csv" : ""
    return counted(page.links.count, "link") + " on \(page.url)\n\n" + table.render() + more
  }

  private static func tablesText(_ page: PageContent) -> String {
    if page.tables.isEmpty { return "\(page.url) has no tables." }
    let parts = page.tables.prefix(5).enumerated().map { number, table -> String in
      let head =
        "Table \(number + 1)" + (table.caption.isEmpty ? "" : ": \(table.caption)")
        + " (\(counted(table.rows.count, "row")), \(counted(table.columnCount, "column")))"
      let rows = table.rows.dropFirst().prefix(shownRows).map { Array($0.prefix(10)) }
      let left = table.rows.count - 1 - shownRows
      let more = left > 0 ? "\n… \(counted(left, "more row"))" : ""
      return head + "\n" + TextTable(header: Array((table.rows.first ?? []).prefix(10)), rows: rows).render() + more
    }
    let more = page.tables.count > 5 ? ["… \(counted(page.tables.count - 5, "more table")) in the artifacts"] : []
    return (parts + more).joined(separator: "\n\n")
  }

  private static func matchesText(_ matches: [XPathMatch]) -> String {
    if matches.isEmpty { return "The XPath selects nothing on this page." }
    let lines = matches.prefix(100).map { match in
      let shown = match.text.isEmpty ? match.attributes["href"] ?? match.attributes["src"] ?? "(empty)" : match.text
      return "- " + shown.shortened(to: 400)
    }
    let more =
      matches.count > 100
      ? ["… \(counted(matches.count - 100, "more match", plural: "more matches")) in page.json"] : []
    return ([counted(matches.count, "match", plural: "matches")] + lines + more).joined(separator: "\n")
  }

  private static func excerpt(_ text: String, _ limit: Int) -> String {
    guard text.count > limit else { return text }
    return text.prefix(limit) + "…\n(\(counted(text.count, "character")) in all, in page.txt)"
  }

  // MARK: - Artifacts

  /// `number` tells several pages apart; nil for the only one.
  static func artifacts(_ page: PageContent, fetched: FetchedPage?, number: Int?) -> [ToolArtifact] {
    let suffix = number.map { "-\($0)" } ?? ""
    var out = [ToolArtifact(name: "page\(suffix).txt", mediaType: "text/plain; charset=utf-8", text: page.text + "\n")]
    if !page.links.isEmpty {
      let csv = CSVWriter.write(header: ["text", "url"], rows: page.links.map { [$0.text, $0.url] })
      out.append(ToolArtifact(name: "links\(suffix).csv", mediaType: "text/csv", bytes: csv))
    }
    for (index, table) in page.tables.enumerated() {
      let csv = CSVWriter.write(header: table.rows[0], rows: Array(table.rows.dropFirst()))
      out.append(ToolArtifact(name: "table\(suffix)-\(index + 1).csv", mediaType: "text/csv", bytes: csv))
    }
    out.append(
      ToolArtifact(name: "page\(suffix).json", mediaType: "application/json", text: json(page, fetched, suffix).pretty))
    return out
  }

  private static func json(_ page: PageContent, _ fetched: FetchedPage?, _ suffix: String) -> JSONValue {
    var members: [(String, JSONValue)] = [("url", .string(page.url))]
    if let fetched {
      members += [
        ("status", .int(fetched.status)), ("contentType", .string(fetched.contentType)),
        ("bytes", .int(fetched.bytes.count)),
        ("redirects", .array(fetched.redirects.map(JSONValue.string))),
      ]
    }
    members += [
      ("title", .string(page.title)), ("description", .string(page.summary)), ("language", .string(page.language)),
      ("characters", .int(page.text.count)),
      ("headings", .array(page.headings.map { .object([("level", .int($0.level)), ("text", .string($0.text))]) })),
      ("links", .int(page.links.count)),
      (
        "tables",
        .array(
          page.tables.enumerated().map { index, table in
            .object([
              ("file", .string("table\(suffix)-\(index + 1).csv")), ("caption", .string(table.caption)),
              ("rows", .int(table.rows.count)), ("columns", .int(table.columnCount)),
            ])
          })
      ),
    ]
    if let matches = page.matches {
      members.append(
        (
          "matches",
          .array(
            matches.map { match in
              let attributes = match.attributes.sorted { $0.key < $1.key }.map { ($0.key, JSONValue.string($0.value)) }
              return .object([
                ("kind", .string(match.kind)), ("text", .string(match.text)), ("attributes", .object(attributes)),
              ])
            })
        ))
    }
    members.append(("notes", .array(page.notes.map(JSONValue.string))))
    return .object(members)
  }
}

import Foundation

/// What is worth knowing of a page.
struct PageContent: Sendable {
  struct Heading: Sendable, Hashable { let level: Int; let text: String }
  struct Link: Sendable, Hashable { let url: String; let text: String }

  static let maximumLinks = 10_000

  let url: String
  let title: String
  let summary: String
  let language: String
  let headings: [Heading]
  let text: String
  let links: [Link]
  let tables: [PageTable]
  let matches: [XPathMatch]?
  var notes: [String]

  /// An HTML page. `base` is where it came from; relative links stay relative without one.
  init(_ document: HTMLDocument, base: String, check: () throws -> Void) throws {
    let tree = document.tree
    url = base
    let headings = Self.headings(tree)
    let title = tree.first("title").map { tree.text(of: $0) } ?? ""
    self.title = !title.isEmpty ? title : Self.meta(tree, ["og:title"]) ?? headings.first?.text ?? ""
    self.headings = headings
    summary = Self.meta(tree, ["description", "og:description"]) ?? ""
    language = tree.first("html").flatMap { tree[$0].attributes["lang"] } ?? ""
    try check()
    text = PageText.render(tree)
    links = Self.links(tree, base: base)
    tables = try PageTables.extract(tree, check: check)
    matches = document.matches
    notes = document.notes
  }

  /// Plain text, JSON and the like.
  init(text: String, url: String) {
    self.url = url
    title = ""
    summary = ""
    language = ""
    headings = []
    self.text = text
    links = []
    tables = []
    matches = nil
    notes = []
  }

  private static func headings(_ tree: HTMLTree) -> [Heading] {
    tree.elements(["h1", "h2", "h3", "h4", "h5", "h6"]).compactMap { index in
      let text = tree.text(of: index)
      return text.isEmpty ? nil : Heading(level: tree[index].name.last?.wholeNumberValue ?? 1, text: text)
    }
  }

  private static func meta(_ tree: HTMLTree, _ names: [String]) -> String? {
    for name in names {
      for index in tree.elements(["meta"]) {
        let attributes = tree[index].attributes
        guard (attributes["name"] ?? attributes["property"])?.lowercased() == name else { continue }
        let content = (attributes["content"] ?? "").split(whereSeparator: \.isWhitespace).joined(separator: " ")
        if !content.isEmpty { return content }
      }
    }
    return nil
  }

  /// Absolute, each once, with the first text that is not empty.
  private static func links(_ tree: HTMLTree, base: String) -> [Link] {
    let written = tree.elements(["base"]).compactMap { tree[$0].attributes["href"] }.first ?? ""
    let root = URL(string: written, relativeTo: URL(string: base))?.absoluteURL ?? URL(string: base)
    var order: [String] = []
    var texts: [String: String] = [:]
    for index in tree.elements(["a", "area"]) where order.count < maximumLinks {
      guard let href = tree[index].attributes["href"]?.trimmedWhitespace, let url = absolute(href, root) else {
        continue
      }
      var text = tree.text(of: index)
      if text.isEmpty {
        text = tree[index].attributes["title"] ?? tree[index].attributes["aria-label"] ?? imageText(tree, index)
      }
      if texts[url] == nil {
        order.append(url)
        texts[url] = text
      } else if texts[url] == "" {
        texts[url] = text
      }
    }
    return order.map { Link(url: $0, text: texts[$0] ?? "") }
  }

  /// Nil for jumps inside the page and for what is no address (`javascript:`).
  private static func absolute(_ href: String, _ root: URL?) -> String? {
    guard !href.isEmpty, !href.hasPrefix("#") else { return nil }
    let cleaned = href.filter { !$0.isNewline && $0 != "\t" }.replacingOccurrences(of: " ", with: "%20")
    guard let url = URL(string: cleaned, relativeTo: root)?.absoluteURL else { return nil }
    guard let scheme = url.scheme?.lowercased() else { return cleaned }
    return ["http", "https", "mailto", "tel", "ftp"].contains(scheme) ? url.absoluteString : nil
  }

  private static func imageText(_ tree: HTMLTree, _ index: Int) -> String {
    tree[index].children.lazy.filter { tree[$0].name == "img" }.compactMap { tree[$0].attributes["alt"] }.first ?? ""
  }
}

/// Renders the readable part of a page as plain text: blocks become paragraphs, list items lines, tables rows.
struct PageText {
  private let tree: HTMLTree
  private var out = ""
  private var pendingSpace = false
  private var pendingBreaks = 0
  private var preformatted = 0

  /// The main content if the page marks it, else the body without menus and footers.
  static func render(_ tree: HTMLTree) -> String {
    let body = tree.first("body") ?? 0
    let mains = tree.nodes.indices.filter {
      tree[$0].name == "main" || tree[$0].attributes["role"]?.lowercased() == "main"
    }
    let articles = tree.elements(["article"])
    let root = mains.count == 1 ? mains[0] : articles.count == 1 ? articles[0] : body
    let text = render(tree, root)
    guard root != body, text.count < 200 else { return text }
    // A "main" that holds next to nothing is only scaffolding.
    let whole = render(tree, body)
    return whole.count > 5 * text.count ? whole : text
  }

  private static func render(_ tree: HTMLTree, _ root: Int) -> String {
    var renderer = PageText(tree: tree)
    renderer.walk(root, isRoot: true)
    return renderer.out.trimmedWhitespace
  }

  private init(tree: HTMLTree) { self.tree = tree }

  private static let skipped: Set<String> = [
    "script", "style", "noscript", "template", "nav", "aside", "footer", "iframe", "svg", "canvas", "object", "embed",
    "head",
    "form", "button", "select", "input", "textarea", "dialog", "audio", "video", "map",
  ]
  private static let skippedRoles: Set<String> = [
    "navigation", "banner", "contentinfo", "search", "complementary", "dialog",
  ]
  private static let paragraphs: Set<String> = [
    "p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "table", "blockquote", "pre", "section", "article",
    "figure", "hr",
    "address", "fieldset", "details",
  ]
  private static let lines: Set<String> = [
    "div", "li", "tr", "dt", "dd", "header", "main", "figcaption", "caption", "summary", "center", "thead", "tbody",
    "tfoot", "body",
    "html", "hgroup", "option", "legend",
  ]

  private mutating func walk(_ index: Int, isRoot: Bool = false) {
    let node = tree[index]
    switch node.kind {
    case .text(let text): preformatted > 0 ? verbatim(text) : flow(text)
    case .element(let name):
      if !isRoot, isSkipped(node, name, index) { return }
      element(name, index)
    }
  }

  private func isSkipped(_ node: HTMLTree.Node, _ name: String, _ index: Int) -> Bool {
    if Self.skipped.contains(name) { return true }
    // A page's own header is a banner; an article's header holds its title.
    if name == "header", !tree.isInside(index, ["article", "main", "section"]) { return !hasHeading(index) }
    if let role = node.attributes["role"]?.lowercased(), Self.skippedRoles.contains(role) { return true }
    let style = node.attributes["style"]?.lowercased().filter { $0 != " " } ?? ""
    return node.attributes["hidden"] != nil || node.attributes["aria-hidden"] == "true"
      || style.contains("display:none")
  }

  private func hasHeading(_ index: Int) -> Bool {
    tree[index].name == "h1" || tree[index].children.contains { hasHeading($0) }
  }

  private mutating func element(_ name: String, _ index: Int) {
    let isParagraph = Self.paragraphs.contains(name), isLine = Self.lines.contains(name)
    if name == "br" { return lineBreak() }
    if isParagraph { breakLine(2) } else if isLine { breakLine(1) }
    if name == "li" { emit(marker(index)) }
    if name == "pre" { preformatted += 1 }
    if name == "td" || name == "th", previousCell(index) { emit(" | ") }
    for child in tree[index].children { walk(child) }
    if name == "pre" { preformatted -= 1 }
    if isParagraph { breakLine(2) } else if isLine { breakLine(1) }
  }

  private func marker(_ index: Int) -> String {
    guard let parent = tree[index].parent, tree[parent].name == "ol" else { return "- " }
    let items = tree[parent].children.filter { tree[$0].name == "li" }
    let start = tree[parent].attributes["start"].flatMap { Int($0) } ?? 1
    let position = items.firstIndex(of: index) ?? 0
    return "\(start.addingReportingOverflow(position).partialValue). "
  }

  private func previousCell(_ index: Int) -> Bool {
    guard let parent = tree[index].parent, let position = tree[parent].children.firstIndex(of: index) else {
      return false
    }
    return tree[parent].children[..<position].contains { ["td", "th"].contains(tree[$0].name) }
  }

  private mutating func flow(_ text: String) {
    for character in text {
      if character.isWhitespace {
        pendingSpace = true
      } else {
        settle()
        out.append(character)
      }
    }
  }

  private mutating func verbatim(_ text: String) {
    settle()
    out += text
  }

  /// Markers stand at the start of what follows and swallow the space before it.
  private mutating func emit(_ text: String) {
    pendingSpace = false
    settle()
    out += text
  }

  private mutating func lineBreak() { pendingBreaks = min(2, pendingBreaks + 1) }

  private mutating func breakLine(_ count: Int) { pendingBreaks = max(pendingBreaks, count) }

  private mutating func settle() {
    if pendingBreaks > 0, !out.isEmpty {
      // Right behind a list marker the item's own first block starts on the same line.
      if !out.hasSuffix("- ") || pendingBreaks == 0 { out += String(repeating: "\n", count: pendingBreaks) }
    } else if pendingSpace, let last = out.last, !last.isWhitespace {
      out.append(" ")
    }
    pendingBreaks = 0
    pendingSpace = false
  }
}

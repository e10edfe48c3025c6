/// A parsed page as plain Swift values; the parser's own memory is gone by then.
struct HTMLTree: Sendable {
  enum Kind: Sendable, Hashable {
    /// Lowercase name.
    case element(String)
    case text(String)
  }

  struct Node: Sendable {
    let kind: Kind
    let attributes: [String: String]
    let parent: Int?
    var children: [Int] = []

    var name: String { if case .element(let name) = kind { name } else { "" } }
  }

  /// The first is the root element; parents stand before their children.
  private(set) var nodes: [Node] = []

  mutating func append(_ kind: Kind, attributes: [String: String] = [:], parent: Int?) -> Int {
    nodes.append(Node(kind: kind, attributes: attributes, parent: parent))
    if let parent { nodes[parent].children.append(nodes.count - 1) }
    return nodes.count - 1
  }

  subscript(index: Int) -> Node { nodes[index] }

  /// Elements of the given names, in document order.
  func elements(_ names: Set<String>) -> [Int] { nodes.indices.filter { names.contains(nodes[$0].name) } }

  func first(_ name: String) -> Int? { nodes.indices.first { nodes[$0].name == name } }

  func isInside(_ index: Int, _ names: Set<String>) -> Bool {
    var parent = nodes[index].parent
    while let at = parent {
      if names.contains(nodes[at].name) { return true }
      parent = nodes[at].parent
    }
    return false
  }

  /// All text below, white space collapsed; scripts and styles left out.
  func text(of index: Int) -> String {
    var parts: [String] = []
    collect(index, &parts)
    return parts.joined().split(whereSeparator: \.isWhitespace).joined(separator: " ")
  }

  private func collect(_ index: Int, _ parts: inout [String]) {
    switch nodes[index].kind {
    case .text(let text): parts.append(text)
    case .element(let name):
      if ["script", "style", "template", "noscript"].contains(name) { return }
      let separates = !Self.inline.contains(name)
      if separates { parts.append(" ") }
      for child in nodes[index].children { collect(child, &parts) }
      if separates { parts.append(" ") }
    }
  }

  /// Elements that do not break a word in two.
  private static let inline: Set<String> = [
    "a", "abbr", "b", "bdi", "bdo", "cite", "code", "data", "dfn", "em", "font", "i", "ins", "del", "kbd", "mark", "q",
    "s", "samp",
    "small", "span", "strong", "sub", "sup", "time", "tt", "u", "var", "wbr",
  ]
}

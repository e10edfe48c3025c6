import CLibXML2

/// A parsed page.
struct HTMLDocument: Sendable {
  let tree: HTMLTree
  /// What an XPath selected; nil if none was asked for.
  let matches: [XPathMatch]?
  /// What was cut: the parser's limits, for a person.
  let notes: [String]
}

/// libxml2's HTML parser. This file and HTMLXPath.swift are the only ones that touch libxml2, and no pointer leaves
/// them: the document is copied into an `HTMLTree` and freed before `parse` returns.
///
/// Bad HTML is mended as browsers of its day did; the network is never touched; elements nested deeper than 256 levels
/// end the page there (libxml2's own guard), which is said in the notes.
enum HTMLParser {
  static let maximumNodes = 500_000

  private static let initialized: Void = xmlInitParser()

  /// `charset` is an iconv name. Throws `UNPARSABLE`, `BAD_XPATH`, `XPATH_TOO_COSTLY`.
  static func parse(_ bytes: [UInt8], charset: String, xpath: String?, check: () throws -> Void) throws -> HTMLDocument
  {
    _ = initialized
    buddy_xml_silence()
    guard let context = htmlNewParserCtxt() else { throw unparsable }
    defer { htmlFreeParserCtxt(context) }
    let options = Int32(
      HTML_PARSE_RECOVER.rawValue | HTML_PARSE_NOERROR.rawValue | HTML_PARSE_NOWARNING.rawValue
        | HTML_PARSE_NONET.rawValue
        | HTML_PARSE_COMPACT.rawValue | HTML_PARSE_IGNORE_ENC.rawValue)
    let parsed = bytes.withUnsafeBytes { buffer in
      htmlCtxtReadMemory(
        context, buffer.baseAddress?.assumingMemoryBound(to: CChar.self), Int32(buffer.count), nil, charset, options)
    }
    guard let document = parsed else { throw unparsable }
    defer { xmlFreeDoc(document) }
    guard let root = xmlDocGetRootElement(document) else { throw unparsable }
    var notes: [String] = []
    // The depth guard is the only cause of this code in a page that was read from memory.
    if context.pointee.lastError.code == Int32(XML_ERR_INTERNAL_ERROR.rawValue), context.pointee.disableSAX != 0 {
      notes.append("The page is nested more than 256 levels deep; what lies behind that point is missing.")
    }
    let (tree, complete) = try copy(root, check)
    if !complete { notes.append("The page has more than \(grouped(maximumNodes)) elements; the rest is missing.") }
    let matches = try xpath.map { try HTMLXPath.evaluate($0, in: document) }
    return HTMLDocument(tree: tree, matches: matches, notes: notes)
  }

  static func isKnownCharset(_ name: String) -> Bool {
    guard let handler = xmlFindCharEncodingHandler(name) else { return false }
    xmlCharEncCloseFunc(handler)
    return true
  }

  private static let unparsable = ToolError("UNPARSABLE", "The page holds nothing that can be read as HTML.")

  /// Walks without recursion, so that the depth of a page is never the depth of our stack.
  private static func copy(_ root: xmlNodePtr, _ check: () throws -> Void) throws -> (HTMLTree, complete: Bool) {
    var tree = HTMLTree()
    var stack: [(node: xmlNodePtr, parent: Int?)] = [(root, nil)]
    while let (node, parent) = stack.popLast() {
      guard tree.nodes.count < maximumNodes else { return (tree, false) }
      if tree.nodes.count % 1_024 == 0 { try check() }
      if parent != nil, let next = node.pointee.next { stack.append((next, parent)) }
      switch node.pointee.type {
      case XML_ELEMENT_NODE:
        let name = string(node.pointee.name).lowercased()
        let index = tree.append(.element(name), attributes: attributes(node), parent: parent)
        if let child = node.pointee.children { stack.append((child, index)) }
      case XML_TEXT_NODE, XML_CDATA_SECTION_NODE:
        _ = tree.append(.text(string(node.pointee.content)), parent: parent)
      default: break
      }
    }
    return (tree, true)
  }

  static func attributes(_ node: xmlNodePtr) -> [String: String] {
    var out: [String: String] = [:]
    var attribute = node.pointee.properties
    while let at = attribute {
      // An attribute's value is a list of text nodes; HTML has just one.
      out[string(at.pointee.name).lowercased()] = at.pointee.children.map { string($0.pointee.content) } ?? ""
      attribute = at.pointee.next
    }
    return out
  }

  /// Copies libxml2's UTF-8.
  static func string(_ text: UnsafePointer<xmlChar>?) -> String {
    text.map { String(cString: $0) } ?? ""
  }
}

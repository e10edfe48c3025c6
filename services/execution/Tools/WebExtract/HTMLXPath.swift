import CLibXML2

/// One thing that an XPath selected.
struct XPathMatch: Sendable, Hashable {
  /// `a`, `@href`, `text()`, or `number`, `string`, `boolean` for a computed value.
  let kind: String
  /// White space collapsed.
  let text: String
  let attributes: [String: String]
}

/// XPath 1.0 by libxml2, over a document that HTMLParser owns.
enum HTMLXPath {
  static let maximumLength = 1_000
  static let maximumMatches = 10_000
  /// Steps before an expression is given up: some tenths of a second where steps are cheap.
  private static let operationLimit: UInt = 20_000_000

  /// Throws `BAD_XPATH`, `XPATH_TOO_COSTLY`.
  static func evaluate(_ expression: String, in document: xmlDocPtr) throws -> [XPathMatch] {
    guard expression.utf8.count <= maximumLength, !expression.utf8.contains(0) else {
      throw bad(expression, "it is too long")
    }
    guard let context = xmlXPathNewContext(document) else { throw bad(expression, "there is not enough memory") }
    defer { xmlXPathFreeContext(context) }
    context.pointee.opLimit = operationLimit
    // Without a handler libxml2 writes its complaint to standard error.
    context.pointee.error = { _, _ in }
    guard let object = xmlXPathEvalExpression(expression, context) else {
      if context.pointee.opCount >= operationLimit || context.pointee.lastError.code == errorOperationLimit {
        throw ToolError(
          "XPATH_TOO_COSTLY", "The XPath takes too many steps on this page; make it more specific.",
          details: ["xpath": expression])
      }
      let message =
        context.pointee.lastError.message.map { String(cString: $0).trimmedWhitespace } ?? "it is not XPath 1.0"
      throw bad(expression, message)
    }
    defer { xmlXPathFreeObject(object) }
    return matches(object)
  }

  /// XPATH_OP_LIMIT_EXCEEDED, in the numbering of xmlerror.h (XML_XPATH_EXPRESSION_OK is 1200).
  private static let errorOperationLimit: Int32 = 1200 + 23

  private static func matches(_ object: xmlXPathObjectPtr) -> [XPathMatch] {
    switch object.pointee.type {
    case XPATH_NODESET:
      guard let set = object.pointee.nodesetval else { return [] }
      return (0..<min(Int(set.pointee.nodeNr), maximumMatches)).compactMap { set.pointee.nodeTab[$0].map(match) }
    case XPATH_BOOLEAN:
      return [XPathMatch(kind: "boolean", text: object.pointee.boolval != 0 ? "true" : "false", attributes: [:])]
    case XPATH_NUMBER: return [XPathMatch(kind: "number", text: Numeric.text(object.pointee.floatval), attributes: [:])]
    case XPATH_STRING:
      return [XPathMatch(kind: "string", text: HTMLParser.string(object.pointee.stringval), attributes: [:])]
    default: return []
    }
  }

  private static func match(_ node: xmlNodePtr) -> XPathMatch {
    let content = xmlNodeGetContent(node)
    defer { buddy_xml_free(content) }
    let text = HTMLParser.string(content).split(whereSeparator: \.isWhitespace).joined(separator: " ")
    let name = HTMLParser.string(node.pointee.name)
    switch node.pointee.type {
    case XML_ELEMENT_NODE: return XPathMatch(kind: name, text: text, attributes: HTMLParser.attributes(node))
    case XML_ATTRIBUTE_NODE: return XPathMatch(kind: "@" + name, text: text, attributes: [:])
    default: return XPathMatch(kind: name + "()", text: text, attributes: [:])
    }
  }

  private static func bad(_ expression: String, _ why: String) -> ToolError {
    ToolError(
      "BAD_XPATH", "The XPath '\(expression.shortened(to: 80))' cannot be used: \(why).", details: ["xpath": expression]
    )
  }
}

/// Settings of the built-in tools.
struct ToolboxOptions: Sendable {
  /// Lets `web_extract` fetch from loopback and private networks. Only for tests and intranets: with it, whoever may
  /// submit a mission can read what this machine can reach.
  var allowPrivateAddresses = false
  /// Seconds one fetch may take, redirects included.
  var fetchTimeout: Duration = .seconds(20)
  /// The most bytes of a page, after decompression.
  var maximumPageBytes = 10 * 1024 * 1024
}

/// The tools that missions can use.
struct Toolbox: Sendable {
  private let tools: [String: any Tool]
  /// In the order in which the tools were given.
  let declarations: [ToolDeclaration]

  /// Of two tools with one name the later one counts.
  init(tools: [any Tool]) {
    self.tools = Dictionary(tools.map { ($0.declaration.name, $0) }) { $1 }
    declarations = tools.map(\.declaration)
  }

  subscript(name: String) -> (any Tool)? { tools[name] }
}

extension Toolbox {
  static func builtIn(_ options: ToolboxOptions = ToolboxOptions()) -> Toolbox {
    Toolbox(tools: [CalculateTool(), DataAnalyzeTool(), WebExtractTool(options: options)])
  }
}

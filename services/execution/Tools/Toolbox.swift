import ServiceKit

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

extension Toolbox {
  /// The built-in tools and those of the file that the settings name, and a classifier that knows the intents of both.
  ///
  /// Throws `SettingError` for a file that cannot be taken.
  static func from(_ settings: Settings) throws -> (Toolbox, IntentClassifier) {
    let builtIn = Toolbox.builtIn(ToolboxOptions(allowPrivateAddresses: settings[ExecutionSettings.allowPrivateFetch]))
    let path = settings[ExecutionSettings.tools]
    do {
      let declared = try CommandDeclaration.all(in: path, besides: builtIn.declarations)
      // Before anybody is asked whether a call that was interrupted is to be made again.
      ProcessSweep.killLeft()
      if !declared.isEmpty { CommandFolder.removeLeft() }
      return (builtIn.adding(declared.map(CommandTool.init)), IntentClassifier(learning: declared.map(\.examples)))
    } catch let error as CommandToolError {
      throw SettingError("tools", value: path, expected: "a file of tools that can be taken: \(error)")
    }
  }

  /// These tools and others, whose names are not among them.
  func adding(_ others: [any Tool]) -> Toolbox {
    Toolbox(tools: declarations.compactMap { self[$0.name] } + others)
  }
}

extension IntentClassifier {
  /// Learns from objectives beyond its own.
  init(learning others: [[String: [String]]]) {
    self.init(examples: others.reduce(TrainingExamples.byIntent) { $0.merging($1) { $0 + $1 } })
  }
}

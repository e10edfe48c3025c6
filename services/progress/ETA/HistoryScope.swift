/// Whose history an estimate rests on: all runs whose key has the parts that are given.
struct HistoryScope: Sendable, Hashable {
  /// Nil: of any.
  var recipe: String?
  var tool: String?
  var intent: String?

  /// From the one that fits a mission best to the one that fits worst; which of them has enough runs decides.
  ///
  /// Once the tool is known, missions of other tools say nothing any more unless the intent is the same.
  static func fitting(_ key: RunKey) -> [HistoryScope] {
    let recipe = HistoryScope(recipe: key.recipe)
    guard !key.tool.isEmpty else {
      let known = key.recipe.isEmpty ? [] : [recipe]
      guard !key.intent.isEmpty else { return known + [HistoryScope()] }
      let both = HistoryScope(recipe: key.recipe, intent: key.intent)
      return (key.recipe.isEmpty ? [] : [both]) + known + [HistoryScope(intent: key.intent), HistoryScope()]
    }
    return [
      HistoryScope(recipe: key.recipe, tool: key.tool, intent: key.intent),
      HistoryScope(tool: key.tool, intent: key.intent), HistoryScope(intent: key.intent),
    ]
  }

  func includes(_ key: RunKey) -> Bool {
    (recipe ?? key.recipe) == key.recipe && (tool ?? key.tool) == key.tool && (intent ?? key.intent) == key.intent
  }

  /// For people: "recipe, tool, intent".
  var text: String {
    let parts = [
      recipe.map { $0.isEmpty ? "no recipe" : "recipe" }, tool.map { _ in "tool" }, intent.map { _ in "intent" },
    ].compactMap(\.self)
    return parts.isEmpty ? "all missions" : parts.joined(separator: ", ")
  }
}

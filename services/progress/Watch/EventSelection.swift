import Messages

/// Which events a filter lets through.
struct EventSelection: Sendable {
  private let filter: EventFilter
  private let states: Set<MissionState>
  private let looksAtFacts: Bool

  init(_ filter: EventFilter?) {
    self.filter = filter ?? EventFilter()
    states = Set(self.filter.states)
    looksAtFacts = !self.filter.owner.isEmpty || !self.filter.recipe.isEmpty || !self.filter.labels.isEmpty
  }

  func passes(_ stored: StoredEvent) -> Bool {
    guard states.isEmpty || states.contains(stored.event.state) else { return false }
    return !looksAtFacts || passes(stored.missionFacts)
  }

  private func passes(_ facts: MissionFacts) -> Bool {
    (filter.owner.isEmpty || filter.owner == facts.owner)
      && (filter.recipe.isEmpty || filter.recipe == facts.recipe)
      && filter.labels.allSatisfy { facts.labels[$0.key] == $0.value }
  }
}

import TestSupport
import Testing

@testable import ExecutionService

/// Places, owners and missions without a database, at a clock of its own.
private struct Simulation {
  struct Run {
    let mission: WaitingMission
    let end: Int64
  }

  struct Begun {
    let mission: WaitingMission
    let at: Int64
  }

  static let ageing: Int64 = 10_000_000
  static let second: Int64 = 1_000_000

  let places: Int
  let toolLimits: [String: Int]
  let penalty = 10 * ageing
  var now: Int64 = 1_000_000_000
  var waiting: [WaitingMission] = []
  var running: [Run] = []
  var lastBegun: [String: Int64] = [:]
  /// In the order in which they began, with when that was.
  var begun: [Begun] = []
  private var count = 0

  init(places: Int, toolLimits: [String: Int] = [:]) {
    self.places = places
    self.toolLimits = toolLimits
  }

  @discardableResult
  mutating func submit(
    _ owner: String, priority: Int64 = 0, tool: String = "", hasBegun: Bool = false
  ) -> WaitingMission {
    count += 1
    let mission = WaitingMission(
      id: "\(1_000_000 + count)", owner: owner, tool: tool, hasBegun: hasBegun || !tool.isEmpty,
      rank: now - priority * Self.ageing, queued: now)
    waiting.append(mission)
    return mission
  }

  func runningByOwner() -> [String: Int] { running.reduce(into: [:]) { $0[$1.mission.owner, default: 0] += 1 } }
  func calls(of tool: String) -> Int { running.count { $0.mission.tool == tool } }

  /// What waits for the same as a mission and is of the same owner, in its order.
  func line(of mission: WaitingMission) -> [WaitingMission] {
    waiting.filter { $0.owner == mission.owner && $0.tool == mission.tool && $0.hasBegun == mission.hasBegun }
      .sorted { ($0.rank, $0.id) < ($1.rank, $1.id) }
  }

  /// Fills the free places, as one look does. Of each line only `known` missions are told at once.
  mutating func look(known: Int = 1, lasting: (WaitingMission) -> Int64) {
    let lines = Dictionary(grouping: waiting) { [$0.owner, $0.tool, "\($0.hasBegun)"] }
      .mapValues { $0.sorted { ($0.rank, $0.id) < ($1.rank, $1.id) } }
    var choice = FairChoice(
      lines.values.flatMap { $0.prefix(known) }, running: runningByOwner(), lastBegun: lastBegun, penalty: penalty)
    while running.count < places {
      let next = choice.next(
        isOpen: { calls(of: $0) < toolLimits[$0] ?? .max },
        more: { last in
          let line = lines[[last.owner, last.tool, "\(last.hasBegun)"]] ?? []
          return Array(line.drop { ($0.rank, $0.id) <= (last.rank, last.id) }.prefix(known))
        })
      guard let next else { break }
      choice.began(next, at: now)
      lastBegun[next.owner] = now
      waiting.removeAll { $0.id == next.id }
      running.append(Run(mission: next, end: now + lasting(next)))
      begun.append(Begun(mission: next, at: now))
    }
  }

  /// Lets the run end that ends first.
  mutating func advance() {
    guard let index = running.indices.min(by: { running[$0].end < running[$1].end }) else { return }
    now = max(now, running[index].end)
    running.remove(at: index)
  }
}

@Suite struct FairChoiceTests {
  @Test func inOneOwnerPriorityGoesFirstAndEqualsInTheirOrder() {
    var random = SeededRandom()
    for _ in 0..<50 {
      var simulation = Simulation(places: 1)
      var submitted: [(priority: Int64, id: String)] = []
      for _ in 0..<30 {
        let priority = Int64.random(in: -3...3, using: &random)
        submitted.append((priority, simulation.submit("a", priority: priority).id))
      }
      while !simulation.waiting.isEmpty {
        simulation.look(known: Int.random(in: 1...4, using: &random)) { _ in Simulation.second }
        simulation.advance()
      }
      let expected = submitted.sorted { (-$0.priority, $0.id) < (-$1.priority, $1.id) }
      #expect(simulation.begun.map(\.mission.id) == expected.map(\.id))
    }
  }

  @Test func waitingAddsToPriority() {
    var simulation = Simulation(places: 1)
    let low = simulation.submit("a")
    simulation.now += 99 * Simulation.second
    let high = simulation.submit("a", priority: 10)
    simulation.now += 2 * Simulation.second
    let late = simulation.submit("a", priority: 10)
    while !simulation.waiting.isEmpty {
      simulation.look { _ in Simulation.second }
      simulation.advance()
    }
    #expect(simulation.begun.map(\.mission.id) == [high.id, low.id, late.id], "ten points are worth 100 s")
  }

  /// However many missions others have and however long these wait: between a mission of an owner that has none running
  /// and its start, each other owner gets one place at most.
  @Test(arguments: [1, 3, 64]) func oneOwnersMassStarvesNobody(places: Int) {
    var random = SeededRandom()
    for _ in 0..<6 {
      var simulation = Simulation(places: places)
      let others = Int.random(in: 1...5, using: &random)
      for owner in 0..<others {
        for _ in 0..<100 { simulation.submit("mass \(owner)") }
      }
      for _ in 0..<Int.random(in: 0..<30, using: &random) {
        simulation.look { _ in Int64.random(in: 1...10 * Simulation.second, using: &random) }
        simulation.advance()
      }
      simulation.now += 1
      let lone = simulation.submit("lone")
      let before = simulation.begun.count
      while !simulation.begun.contains(where: { $0.mission.id == lone.id }) {
        simulation.look { _ in Int64.random(in: 1...10 * Simulation.second, using: &random) }
        simulation.advance()
      }
      let ahead = simulation.begun[before...].prefix { $0.mission.id != lone.id }.map(\.mission.owner)
      #expect(ahead.count == Set(ahead).count, "\(ahead)")
    }
  }

  /// Of a higher priority there is always something waiting; the lower one is begun all the same, in time.
  @Test func noPriorityStarvesAnother() throws {
    for owner in ["same", "other"] {
      var simulation = Simulation(places: 1)
      simulation.submit("same", priority: 100)
      let low = simulation.submit(owner, priority: -100)
      while !simulation.begun.contains(where: { $0.mission.id == low.id }) {
        simulation.submit("same", priority: 100)
        simulation.look { _ in Simulation.second }
        simulation.advance()
      }
      let begun = try #require(simulation.begun.first { $0.mission.id == low.id })
      let waited = begun.at - low.queued
      #expect(waited <= 200 * Simulation.ageing + 2 * Simulation.second, "\(owner): \(waited) µs")
      #expect(waited >= 199 * Simulation.ageing, "\(owner): priorities count")
    }
  }

  /// Random arrivals, priorities, tools and durations: the limits hold at every moment, everything is begun once, and
  /// nobody is passed over by an owner that has more running without more priority or waiting.
  @Test func limitsAndFairnessHoldInAnyOrder() {
    var random = SeededRandom()
    for _ in 0..<15 {
      var simulation = Simulation(
        places: Int.random(in: 1...8, using: &random),
        toolLimits: ["x": Int.random(in: 1...3, using: &random), "y": 1])
      var submitted = 0
      while submitted < 150 || !simulation.waiting.isEmpty || !simulation.running.isEmpty {
        for _ in 0..<(submitted < 150 ? Int.random(in: 0...6, using: &random) : 0) {
          submitted += 1
          simulation.submit(
            "owner \(Int.random(in: 0..<4, using: &random))", priority: Int64.random(in: -20...20, using: &random),
            tool: ["", "", "x", "y"].randomElement(using: &random) ?? "", hasBegun: Bool.random(using: &random))
        }
        let former = simulation
        simulation.look(known: Int.random(in: 1...3, using: &random)) { _ in
          Int64.random(in: 1...60 * Simulation.second, using: &random)
        }
        #expect(simulation.running.count <= simulation.places)
        for (tool, limit) in simulation.toolLimits { #expect(simulation.calls(of: tool) <= limit) }
        expectFair(from: former, to: simulation)
        simulation.advance()
      }
      #expect(Set(simulation.begun.map(\.mission.id)).count == submitted && simulation.begun.count == submitted)
    }
  }

  /// Replays what one look began: none of the others was before it.
  private func expectFair(from former: Simulation, to later: Simulation) {
    var state = former
    for mission in later.begun[former.begun.count...].map(\.mission) {
      let running = state.runningByOwner()
      func rank(_ mission: WaitingMission) -> Int64 {
        let since = max(mission.queued, (state.lastBegun[mission.owner] ?? 0) + 1)
        return since - (mission.queued - mission.rank) + Int64(running[mission.owner] ?? 0) * state.penalty
      }
      let line = state.line(of: mission)
      #expect(line.first?.id == mission.id, "in its line the rank decides")
      for other in state.waiting where other.hasBegun == mission.hasBegun {
        guard state.line(of: other).first?.id == other.id else { continue }
        guard other.tool.isEmpty || state.calls(of: other.tool) < state.toolLimits[other.tool] ?? .max else { continue }
        #expect(rank(mission) <= rank(other), "\(mission.id) went before \(other.id)")
      }
      let isOlderWaiting = state.waiting.contains { other in
        other.hasBegun && (other.tool.isEmpty || state.calls(of: other.tool) < state.toolLimits[other.tool] ?? .max)
      }
      #expect(mission.hasBegun || !isOlderWaiting, "what has begun goes first")
      state.waiting.removeAll { $0.id == mission.id }
      state.running.append(.init(mission: mission, end: 0))
      state.lastBegun[mission.owner] = state.now
    }
  }

  @Test func ownersShareThePlacesEvenly() {
    var simulation = Simulation(places: 9)
    for _ in 0..<100 { simulation.submit("a") }
    simulation.now += 3_600 * Simulation.second
    for _ in 0..<100 {
      simulation.submit("b")
      simulation.submit("c")
    }
    simulation.look { _ in Simulation.second }
    #expect(simulation.runningByOwner() == ["a": 3, "b": 3, "c": 3])
  }

  @Test func ownersServedLongestAgoAreForgottenFirst() {
    let shares = OwnerShares()
    for number in 0...OwnerShares.limit { shares.began("owner \(number)", at: Int64(number)) }
    #expect(shares.count <= OwnerShares.limit)
    #expect(shares.lastBegun["owner \(OwnerShares.limit)"] != nil && shares.lastBegun["owner 0"] == nil)
    shares.began("owner \(OwnerShares.limit)", at: 5)
    #expect(shares.lastBegun["owner \(OwnerShares.limit)"] == Int64(OwnerShares.limit), "time does not go back")
  }
}

import Foundation
import Messages
import Synchronization

/// Prints what all missions do, an event a line, until it is cancelled or nobody reads any more.
final class AllMissionsWatch: Sendable {
  private let gateway: GatewayClient
  private let console: Console
  private let json: Bool
  private let start: AllEventsPlace
  private let seen = Mutex<UInt64?>(nil)

  /// - Parameter position: 0 for everything that is kept, nil for what comes from now on.
  init(gateway: GatewayClient, console: Console, selection: EventSelection, after position: UInt64?, json: Bool) {
    self.gateway = gateway
    self.console = console
    self.json = json
    start = AllEventsPlace(selection, after: position)
  }

  /// How to go on after what was printed.
  var advice: String {
    seen.withLock { $0 }.map { "go on with `buddy mission watch --all --after \($0)`" } ?? start.advice
  }

  func run() async throws {
    var place = start
    do {
      try await ResumedStream<AllEventsPlace>(gateway: gateway).follow(&place) { notice in
        switch notice {
        case .event(let entry):
          try print(entry)
          seen.withLock { $0 = entry.position }
        case .interrupted(let reason): console.note("connection lost (\(TerminalText.line(reason))); trying again")
        case .resumed: console.note("connected again")
        }
      }
    } catch is Console.ReaderGone {
      // `| head` has seen enough.
    }
  }

  private func print(_ entry: PositionedEvent) throws {
    let line = try json ? WireJSON.encode(entry) : Self.line(entry)
    try console.write(.output, Array("\(line)\n".utf8))
  }

  /// `2030-01-31T18:00:00Z  m-1   55 %  execution     started           reading sales.csv`
  static func line(_ entry: PositionedEvent) -> String {
    guard let event = entry.event else { return "-" }
    if event.type == .gap, event.sequence > 0 {
      return "some events up to position \(event.sequence) are not kept any more; those that are follow"
    }
    if event.type == .gap { return "events up to position \(entry.position) are left out: they are not kept any more" }
    let time = event.time?.date.formatted(.iso8601) ?? "-"
    var line = "\(time)  \(TerminalText.line(event.missionId))  \(ProgressLine.text(event))"
    if event.sequence == 1, let facts = event.facts {
      line += "  [\(TerminalText.line(facts.owner))] \(TerminalText.line(facts.objective))"
    }
    return line
  }
}

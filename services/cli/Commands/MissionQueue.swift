import ArgumentParser
import Foundation
import Messages

extension MissionCommand {
  struct Queue: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Shows the missions that wait to be run, those to run first in front, and what runs.")

    @Option(help: ArgumentHelp("Only this owner's; positions stay those among all.", valueName: "name"))
    var owner: String?

    @Option(parsing: .unconditional,
      help: ArgumentHelp("How many at the most, 1 to 10000.", valueName: "number"))
    var limit = 20

    @OptionGroup var gateway: GatewayOptions

    func validate() throws {
      try Limit.check(limit)
      try Filter.check(("--owner", owner))
    }

    func run() async throws {
      let console = Console.system()
      let queue = try await gateway.withGateway { try await $0.queue(owner: owner ?? "", limit: limit) }
      if gateway.json { return try console.print(WireJSON.encode(queue)) }
      if !queue.entries.isEmpty {
        let columns = console.isOutputTerminal ? console.columns() : nil
        try console.print(Self.table(queue.entries, now: Date()).lines(columns: columns).joined(separator: "\n"))
      }
      console.note(Self.summary(queue))
    }

    static func table(_ entries: [QueueEntry], now: Date) -> Table {
      var table = Table(
        ("PLACE", .right), ("MISSION", .left), ("OWNER", .left), ("PRIORITY", .right), ("EFFECTIVE", .right),
        ("WAITING", .right), ("FOR", .left))
      for entry in entries {
        let waiting = entry.waitingSince.map { DurationText.clock(.seconds(now.timeIntervalSince($0.date))) }
        table.add(
          String(entry.position), entry.missionId, entry.owner, String(entry.priority),
          String(format: "%.1f", entry.effectivePriority), waiting ?? "-",
          entry.waitingFor.isEmpty ? "-" : entry.waitingFor)
      }
      return table
    }

    /// `12 missions wait, 4 of 16 run; data_analyze 4 of 4`.
    static func summary(_ queue: ListQueueResponse) -> String {
      let waiting = queue.waiting == 1 ? "1 mission waits" : "\(queue.waiting) missions wait"
      let busy = queue.tools.filter { $0.running > 0 }.sorted { $0.tool < $1.tool }
        .map { "\(TerminalText.line($0.tool)) \($0.running)" + ($0.limit > 0 ? " of \($0.limit)" : "") }
      let line = "\(waiting), \(queue.running) of \(queue.runningLimit) run"
      return busy.isEmpty ? line : "\(line); \(busy.joined(separator: ", "))"
    }
  }
}

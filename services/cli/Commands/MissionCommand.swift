import ArgumentParser
import Foundation
import Messages

/// `buddy mission …`.
struct MissionCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mission", abstract: "Lists, shows, watches, changes, holds and ends missions.",
    subcommands: [
      List.self, Show.self, Watch.self, Queue.self, Approve.self, Reject.self, Pause.self, Resume.self, Modify.self,
      Answer.self, Cancel.self,
    ])

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists missions, the newest first.")

    @Option(name: .long, parsing: .singleValue,
      help: ArgumentHelp("Only missions in this state; may be given several times.", valueName: "state"),
      transform: OptionValue.state)
    var state: [MissionState] = []

    @Option(help: ArgumentHelp("Only this owner's.", valueName: "name"))
    var owner: String?

    @Option(help: ArgumentHelp("Only those of this recipe.", valueName: "recipe"))
    var recipe: String?

    @Option(parsing: .unconditional,
      help: ArgumentHelp("How many at the most, 1 to 10000.", valueName: "number"))
    var limit = 20

    @OptionGroup var gateway: GatewayOptions

    func validate() throws {
      try Limit.check(limit)
      try Filter.check(("--owner", owner), ("--recipe", recipe))
    }

    func run() async throws {
      let console = Console.system()
      let missions = try await gateway.withGateway {
        try await $0.missions(states: state, owner: owner ?? "", recipe: recipe ?? "", limit: limit)
      }
      if gateway.json {
        try console.print(WireJSON.encode(ListMissionsResponse(missions: missions)))
      } else if missions.isEmpty {
        let isAll = state.isEmpty && owner == nil && recipe == nil
        console.note("no \(isAll ? "missions yet; start one with `buddy run`" : "such missions")")
      } else {
        let columns = console.isOutputTerminal ? console.columns() : nil
        try console.print(Self.table(missions).lines(columns: columns).joined(separator: "\n"))
      }
    }

    static func table(_ missions: [Mission]) -> Table {
      var table = Table(
        ("MISSION", .left), ("STATE", .left), ("DONE", .right), ("CREATED", .left), ("TOOL", .left),
        ("OBJECTIVE", .left))
      for mission in missions {
        table.add(
          mission.id, mission.state.label, ProgressBar.percent(mission.percent),
          mission.createdAt?.date.formatted(.iso8601) ?? "-",
          mission.choice?.tool ?? (mission.requestedTool.isEmpty ? "-" : mission.requestedTool), mission.objective)
      }
      return table
    }
  }

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Shows all about a mission.")

    @OptionGroup var target: MissionTarget
    @OptionGroup var gateway: GatewayOptions

    func run() async throws {
      let console = Console.system()
      try await gateway.withGateway { client in
        let mission = try await client.mission(target.id)
        try console.print(
          gateway.json ? WireJSON.encode(mission) : MissionReport.details(mission, address: client.address))
      }
    }
  }
}

/// The mission a command is about.
struct MissionTarget: ParsableArguments {
  @Argument(help: ArgumentHelp("The mission's id.", valueName: "mission"))
  var id: String

  func validate() throws {
    if id.isEmpty { throw ValidationError("the mission's id is empty") }
  }
}

enum Limit {
  static func check(_ limit: Int) throws {
    guard (1...10_000).contains(limit) else { throw ValidationError("--limit must be from 1 to 10000") }
  }
}

/// Whose or which: an empty one is more likely a variable that was not set than a wish for everybody's.
enum Filter {
  static func check(_ options: (name: String, value: String?)...) throws {
    if let empty = options.first(where: { $0.value?.isEmpty == true }) {
      throw ValidationError("\(empty.name) is empty; leave it out for all")
    }
  }
}

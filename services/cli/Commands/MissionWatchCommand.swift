import ArgumentParser
import Messages

extension MissionCommand {
  struct Watch: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Watches a mission to its end and prints its result, or what all missions do.",
      discussion: """
        What a mission asks is asked on a terminal. With --all every event is a line on standard output (with --json \
        an object with its position), first those that are kept, then live, without an end. Ctrl-C stops the watching; \
        the missions go on.

        \(ExitReason.table)
        """)

    @Argument(help: ArgumentHelp("The mission's id.", valueName: "mission"))
    var id: String?

    @Flag(help: "All missions instead of one.")
    var all = false

    @Option(parsing: .unconditional,
      help: ArgumentHelp("Only events after this number; with --all, after this position.", valueName: "number"))
    var after: UInt64?

    @Flag(help: "With --all: only what happens from now on.")
    var fromNow = false

    @Option(help: ArgumentHelp("With --all: only this owner's missions.", valueName: "name"))
    var owner: String?

    @Option(name: .long, parsing: .singleValue,
      help: ArgumentHelp("With --all: only missions with this label; may be given several times.",
        valueName: "name=value"),
      transform: OptionValue.pair)
    var label: [KeyValue] = []

    @Option(name: .long, parsing: .singleValue,
      help: ArgumentHelp("With --all: only while missions are in this state; may be given several times.",
        valueName: "state"),
      transform: OptionValue.state)
    var state: [MissionState] = []

    @Option(help: ArgumentHelp("With --all: only missions of this recipe.", valueName: "recipe"))
    var recipe: String?

    @OptionGroup var gateway: GatewayOptions

    func validate() throws {
      try Filter.check(("--owner", owner), ("--recipe", recipe))
      guard all else {
        guard let id, !id.isEmpty else { throw ValidationError("name a mission, or give --all") }
        guard !fromNow, try selection() == EventSelection() else {
          throw ValidationError("--from-now, --owner, --label, --state and --recipe go with --all")
        }
        return
      }
      if id != nil { throw ValidationError("give either a mission or --all") }
      if fromNow, after != nil { throw ValidationError("give either --after or --from-now") }
      _ = try selection()
    }

    func selection() throws -> EventSelection {
      EventSelection(
        owner: owner ?? "", labels: try KeyValue.dictionary(label, option: "--label"), states: state,
        recipe: recipe ?? "")
    }

    func run() async throws {
      let console = Console.system()
      let reason = try await gateway.withGateway { client in
        guard let id else { return try await watchAll(client, console) }
        return try await Interruption.guarding { [after, gateway] in
          try await Self.watch(id, after ?? 0, client, console, json: gateway.json)
        } interrupted: {
          console.note(RunCommand.farewell(id))
          return .interrupted
        }
      }
      if reason != .success { throw SilentExit(reason: reason) }
    }

    private func watchAll(_ client: GatewayClient, _ console: Console) async throws -> ExitReason {
      let watch = AllMissionsWatch(
        gateway: client, console: console, selection: try selection(), after: fromNow ? nil : after ?? 0,
        json: gateway.json)
      return try await Interruption.guarding {
        try await watch.run()
        return .success
      } interrupted: {
        console.note("buddy: no longer watching; \(watch.advice)")
        return .interrupted
      }
    }

    private static func watch(
      _ id: String, _ after: UInt64, _ client: GatewayClient, _ console: Console, json: Bool
    ) async throws -> ExitReason {
      let display = ProgressDisplay(console)
      let mission: Mission
      do {
        mission = try await MissionWatch(gateway: client, mission: id, display: display, console: console)
          .run(after: after)
      } catch {
        await display.abandon()
        throw error
      }
      await display.finish()
      let text = try json ? WireJSON.encode(mission) : MissionReport.result(mission, address: client.address)
      if !text.isEmpty { try console.print(text) }
      if let failure = MissionReport.failure(mission) { console.note("buddy: \(failure)") }
      return MissionReport.exit(mission)
    }
  }
}

import ArgumentParser
import Foundation
import Messages

extension MissionCommand {
  struct Modify: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Changes what is asked of a mission, also while it runs.",
      discussion: """
        What is not named stays. Steps that rested on what changes run anew, and the answer names them. It is refused \
        where a tool with side effects has begun and would have to run again.
        """)

    @OptionGroup var target: MissionTarget

    @Option(help: ArgumentHelp("What you want, in words.", valueName: "text"))
    var objective: String?

    @Option(name: .long, parsing: .singleValue,
      help: ArgumentHelp("A parameter to add or replace; may be given several times.", valueName: "name=value"),
      transform: OptionValue.pair)
    var set: [KeyValue] = []

    @Option(name: .long, parsing: .singleValue,
      help: ArgumentHelp("A parameter to take away; may be given several times.", valueName: "name"))
    var unset: [String] = []

    @Option(parsing: .unconditional,
      help: ArgumentHelp("The most the mission may cost, for example 0.50.", valueName: "amount"),
      transform: OptionValue.money)
    var budget: Money?

    @Option(parsing: .unconditional,
      help: ArgumentHelp("When it has to be done: \"in 2h\", or 2030-01-31T18:00:00Z.", valueName: "time"),
      transform: OptionValue.deadline)
    var deadline: DeadlineText?

    @Flag(help: "It may take as long as it takes.")
    var noDeadline = false

    @Option(help: ArgumentHelp("The tool to use.", valueName: "tool"))
    var tool: String?

    @Flag(help: "Let Buddy choose the tool.")
    var anyTool = false

    @Option(parsing: .unconditional, help: ArgumentHelp("-100 to 100; higher runs first.", valueName: "number"))
    var priority: Int32?

    @Option(help: ArgumentHelp("Why.", valueName: "text"))
    var reason = ""

    @OptionGroup var command: CommandOptions
    @OptionGroup var gateway: GatewayOptions

    func validate() throws {
      if deadline != nil, noDeadline { throw ValidationError("give either --deadline or --no-deadline") }
      if tool != nil, anyTool { throw ValidationError("give either --tool or --any-tool") }
      if tool?.isEmpty == true { throw ValidationError("--tool is empty; --any-tool lets Buddy choose") }
      if let priority, !(-100...100).contains(priority) {
        throw ValidationError("--priority must be from -100 to 100")
      }
      if let objective {
        guard !objective.allSatisfy(\.isWhitespace) else { throw ValidationError("the objective is empty") }
        guard objective.unicodeScalars.count <= 10_000 else {
          throw ValidationError("the objective is longer than 10,000 characters")
        }
      }
      let names = try KeyValue.dictionary(set, option: "--set").keys
      for name in unset {
        if name.isEmpty { throw ValidationError("--unset is empty") }
        if names.contains(name) { throw ValidationError("\(name) is both in --set and in --unset") }
      }
      if try request() == ModifyMissionRequest(reason: reason) { throw ValidationError("say what to change") }
    }

    func request(now: Date = Date()) throws -> ModifyMissionRequest {
      ModifyMissionRequest(
        reason: reason, objective: objective.map { GoogleProtobufStringValue(value: $0) },
        setParameters: try KeyValue.dictionary(set, option: "--set"), removeParameters: unset, budget: budget,
        deadline: deadline?.resolved(now: now), removeDeadline: noDeadline,
        requestedTool: anyTool ? GoogleProtobufStringValue() : tool.map { GoogleProtobufStringValue(value: $0) },
        priority: priority.map { GoogleProtobufInt32Value(value: $0) })
    }

    func run() async throws {
      let change = try request()
      try await gateway.act(command) { try await $0.modify(target.id, change, $1) }
    }
  }
}

import ArgumentParser
import Foundation
import Messages
import ServiceKit
import Synchronization

/// `buddy run "OBJECTIVE"`.
struct RunCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run", abstract: "Runs a mission, shows its progress and prints its result.",
    discussion: """
      Progress goes to standard error, the result and the addresses of its artifacts to standard output. Where the \
      mission asks something, a terminal asks you; elsewhere it says how to answer, and waits. Ctrl-C stops the \
      watching; the mission goes on.

      \(ExitReason.table)
      """)

  @Argument(help: "What you want, in words.")
  var objective: String

  @Option(name: .long, parsing: .singleValue,
    help: ArgumentHelp("A file the mission works on; may be given several times.", valueName: "file"))
  var input: [String] = []

  @Option(name: .long, parsing: .singleValue,
    help: ArgumentHelp("A parameter of the tool; may be given several times.", valueName: "name=value"),
    transform: OptionValue.pair)
  var param: [KeyValue] = []

  @Option(name: .long, parsing: .singleValue,
    help: ArgumentHelp("A label to find the mission by; may be given several times.", valueName: "name=value"),
    transform: OptionValue.pair)
  var label: [KeyValue] = []

  @Option(help: ArgumentHelp("The tool to use, instead of the one Buddy would choose.", valueName: "tool"))
  var tool: String?

  @Option(parsing: .unconditional,
    help: ArgumentHelp("The most the mission may cost, for example 0.50.", valueName: "amount"),
    transform: OptionValue.money)
  var budget: Money?

  @Option(parsing: .unconditional,
    help: ArgumentHelp("How long it may take, for example 30s or 5m.", valueName: "time"),
    transform: OptionValue.duration)
  var deadline: Duration?

  @Option(parsing: .unconditional, help: ArgumentHelp("-100 to 100; higher runs first.", valueName: "number"))
  var priority: Int32 = 0

  @Option(help: ArgumentHelp("The recipe the mission is made from, to find it by.", valueName: "recipe"))
  var recipe = ""

  @Option(help: ArgumentHelp("The recipe's version.", valueName: "version"))
  var recipeVersion = ""

  @Flag(help: "Wait for a person's approval even where policy would not ask for it.")
  var requireApproval = false

  @Option(help: ArgumentHelp("""
    The same request with the same key gives the same mission (default: a new key). A file of --input is uploaded anew \
    and --deadline counts from now: with one of them each run is another request, and is refused under a key in use.
    """, valueName: "key"))
  var idempotencyKey: String?

  @Flag(inversion: .prefixedNo, help: "Wait for the mission's end.")
  var wait = true

  @OptionGroup var gateway: GatewayOptions

  func validate() throws {
    let length = objective.unicodeScalars.count
    guard !objective.allSatisfy(\.isWhitespace) else { throw ValidationError("the objective is empty") }
    guard length <= 10_000 else { throw ValidationError("the objective is longer than 10,000 characters") }
    guard (-100...100).contains(priority) else { throw ValidationError("--priority must be from -100 to 100") }
    if let deadline, deadline <= .zero { throw ValidationError("--deadline must be more than nothing") }
    if let idempotencyKey, !HeaderText.fits(idempotencyKey, limit: 200) {
      throw ValidationError("--idempotency-key must have \(HeaderText.rule(limit: 200))")
    }
    for (option, value) in [("--recipe", recipe), ("--recipe-version", recipeVersion)] {
      guard value.unicodeScalars.count <= 100 else { throw ValidationError("\(option) is longer than 100 characters") }
    }
    if recipe.isEmpty, !recipeVersion.isEmpty { throw ValidationError("--recipe-version goes with --recipe") }
    _ = try KeyValue.dictionary(param, option: "--param")
    _ = try KeyValue.dictionary(label, option: "--label")
  }

  func order(now: Date = Date()) throws -> MissionOrder {
    let request = SubmitMissionRequest(
      objective: objective, parameters: try KeyValue.dictionary(param, option: "--param"),
      labels: try KeyValue.dictionary(label, option: "--label"), priority: priority, budget: budget,
      deadline: deadline.map { GoogleProtobufTimestamp(now.addingTimeInterval($0 / .seconds(1))) },
      requestedTool: tool ?? "", requireApproval: requireApproval,
      recipe: recipe, recipeVersion: recipeVersion)
    return MissionOrder(
      request: request, inputs: try InputFile.all(input), idempotencyKey: idempotencyKey ?? Identifier.make(),
      waits: wait, json: gateway.json)
  }

  func run() async throws {
    let order = try order()
    let console = Console.system()
    let mission = Mutex("")
    let reason = try await gateway.withGateway { client in
      try await Interruption.guarding {
        try await MissionRun(gateway: client, console: console, order: order) { id in
          mission.withLock { $0 = id }
        }.run()
      } interrupted: {
        let id = mission.withLock { $0 }
        console.note(id.isEmpty ? "buddy: interrupted before the mission was submitted" : Self.farewell(id))
        return .interrupted
      }
    }
    if reason != .success { throw SilentExit(reason: reason) }
  }

  static func farewell(_ id: String) -> String {
    """
    buddy: no longer watching; mission \(id) goes on.
      watch it:   buddy mission watch \(id)
      cancel it:  buddy mission cancel \(id)
    """
  }
}

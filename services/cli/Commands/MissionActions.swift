import ArgumentParser
import Messages
import ServiceKit

extension MissionCommand {
  struct Approve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Approves a mission that waits for it.")

    @OptionGroup var target: MissionTarget
    @OptionGroup var command: CommandOptions
    @OptionGroup var gateway: GatewayOptions

    func run() async throws { try await gateway.act(command) { try await $0.approve(target.id, $1) } }
  }

  struct Reject: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Rejects a mission that waits for approval.")

    @OptionGroup var target: MissionTarget

    @Option(help: ArgumentHelp("Why, for whoever asked for it.", valueName: "text"))
    var reason: String

    @OptionGroup var command: CommandOptions
    @OptionGroup var gateway: GatewayOptions

    func run() async throws {
      try await gateway.act(command) { try await $0.reject(target.id, reason: reason, $1) }
    }
  }

  struct Cancel: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Ends a mission for good: no step begins any more.")

    @OptionGroup var target: MissionTarget

    @Option(help: ArgumentHelp("Why.", valueName: "text"))
    var reason = ""

    @OptionGroup var command: CommandOptions
    @OptionGroup var gateway: GatewayOptions

    func run() async throws {
      try await gateway.act(command) { try await $0.cancel(target.id, reason: reason, $1) }
    }
  }

  struct Pause: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Holds a mission until it is resumed.",
      discussion: """
        A step that runs is interrupted and begins anew after the resume. A tool that must not be called twice runs to \
        the end of its step first. The time does not count for the mission's estimate, but for its deadline.
        """)

    @OptionGroup var target: MissionTarget

    @Option(help: ArgumentHelp("Why.", valueName: "text"))
    var reason = ""

    @OptionGroup var command: CommandOptions
    @OptionGroup var gateway: GatewayOptions

    func run() async throws {
      try await gateway.act(command) { try await $0.pause(target.id, reason: reason, $1) }
    }
  }

  struct Resume: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Lets a paused mission go on from where it stood.")

    @OptionGroup var target: MissionTarget
    @OptionGroup var command: CommandOptions
    @OptionGroup var gateway: GatewayOptions

    func run() async throws { try await gateway.act(command) { try await $0.resume(target.id, $1) } }
  }
}

/// What every command on a mission takes.
struct CommandOptions: ParsableArguments {
  @Option(help: ArgumentHelp("The same command with the same id takes effect once (default: a new id).",
    valueName: "id"))
  var requestId: String?

  @Option(parsing: .unconditional,
    help: ArgumentHelp("Only if the mission still has this version.", valueName: "number"))
  var expectedVersion: Int64?

  func validate() throws {
    if let requestId, !(1...200).contains(requestId.unicodeScalars.count) {
      throw ValidationError("--request-id must have 1 to 200 characters")
    }
    if let expectedVersion, expectedVersion < 1 { throw ValidationError("--expected-version must be at least 1") }
  }

  var mark: CommandMark {
    CommandMark(requestID: requestId ?? Identifier.make(), expectedVersion: expectedVersion ?? 0)
  }
}

extension GatewayOptions {
  /// Carries out a command on a mission and prints what it did.
  func act(_ options: CommandOptions, _ action: (GatewayClient, CommandMark) async throws -> Mission) async throws {
    let mark = options.mark
    let mission = try await withGateway { try await action($0, mark) }
    try report(mission, mark)
  }

  func report(_ mission: Mission, _ mark: CommandMark) throws {
    try Console.system().print(json ? WireJSON.encode(mission) : CommandReport.line(mission, requestID: mark.requestID))
  }
}

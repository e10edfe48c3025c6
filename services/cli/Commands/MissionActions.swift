import ArgumentParser
import Messages

extension MissionCommand {
  struct Approve: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Approves a mission that waits for it.")

    @OptionGroup var target: MissionTarget
    @OptionGroup var gateway: GatewayOptions

    func run() async throws { try await gateway.act { try await $0.approve(target.id) } }
  }

  struct Reject: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Rejects a mission that waits for approval.")

    @OptionGroup var target: MissionTarget

    @Option(help: ArgumentHelp("Why, for whoever asked for it.", valueName: "text"))
    var reason: String

    @OptionGroup var gateway: GatewayOptions

    func run() async throws { try await gateway.act { try await $0.reject(target.id, reason: reason) } }
  }

  struct Cancel: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Ends a mission for good: no step begins any more.")

    @OptionGroup var target: MissionTarget

    @Option(help: ArgumentHelp("Why.", valueName: "text"))
    var reason = ""

    @OptionGroup var gateway: GatewayOptions

    func run() async throws { try await gateway.act { try await $0.cancel(target.id, reason: reason) } }
  }
}

extension GatewayOptions {
  /// Carries out a command on a mission and prints the state it is in now.
  fileprivate func act(_ action: (GatewayClient) async throws -> Mission) async throws {
    let mission = try await withGateway(action)
    let line = "\(TerminalText.line(mission.id)) \(mission.state.label)"
    try Console.system().print(json ? WireJSON.encode(mission) : line)
  }
}

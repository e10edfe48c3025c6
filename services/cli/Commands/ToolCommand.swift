import ArgumentParser
import Foundation
import Messages

/// `buddy tool list`.
struct ToolCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tool", abstract: "Shows what missions can use.", subcommands: [List.self])

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists the tools.")

    @OptionGroup var gateway: GatewayOptions

    func run() async throws {
      let console = Console.system()
      let answer = try await gateway.withGateway { try await $0.tools() }
      if gateway.json { return try console.print(WireJSON.encode(answer)) }
      let columns = console.isOutputTerminal ? console.columns() : nil
      try console.print(Self.table(answer.tools).lines(columns: columns).joined(separator: "\n"))
    }

    static func table(_ tools: [Tool]) -> Table {
      var table = Table(
        ("TOOL", .left), ("RISK", .left), ("SIDE EFFECTS", .left), ("INTENTS", .left), ("DESCRIPTION", .left))
      for tool in tools {
        let intents = tool.intents.keys.sorted().joined(separator: ",")
        table.add(tool.name, tool.risk, tool.hasSideEffects ? "yes" : "no", intents, tool.description)
      }
      return table
    }
  }
}

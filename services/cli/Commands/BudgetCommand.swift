import ArgumentParser
import Foundation
import Messages

/// `buddy budget …`.
struct BudgetCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "budget", abstract: "Shows and sets what missions may cost together.",
    subcommands: [Show.self, Set.self])

  struct Show: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Shows the limit and what is spent of it.")

    @OptionGroup var gateway: GatewayOptions

    func run() async throws {
      try gateway.report(try await gateway.withGateway { try await $0.budget() })
    }
  }

  struct Set: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Sets the limit.")

    @Argument(help: ArgumentHelp("For example 25 or \"25.00 USD\".", valueName: "amount"),
      transform: OptionValue.money)
    var amount: Money

    @OptionGroup var gateway: GatewayOptions

    func run() async throws {
      try gateway.report(try await gateway.withGateway { try await $0.setBudget(amount) })
    }
  }

  static func summary(_ budget: Budget) -> String {
    let rows = [
      ("Limit", budget.limit), ("Spent", budget.spent), ("Reserved", budget.reserved), ("Available", budget.available),
    ].map { ($0.0, TerminalText.line(MoneyText.format($0.1))) }
    let width = rows.map { TerminalText.width($0.1) }.max() ?? 0
    return rows.map { name, amount in
      TerminalText.padded(name, to: 11) + String(repeating: " ", count: width - TerminalText.width(amount)) + amount
    }.joined(separator: "\n")
  }
}

extension GatewayOptions {
  fileprivate func report(_ budget: Budget) throws {
    try Console.system().print(json ? WireJSON.encode(budget) : BudgetCommand.summary(budget))
  }
}

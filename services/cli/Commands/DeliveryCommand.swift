import ArgumentParser
import Messages

/// `buddy delivery …`.
struct DeliveryCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "delivery",
    abstract: "Lists what one service told another in vain, and has it delivered again or drops it.",
    discussion: """
      A delivery that its receiver refuses for good is set aside and holds up no other. Retry it when the receiver's \
      reason is gone: it is then delivered after all that wait, no longer in its place among those of the same key.
      """,
    subcommands: [List.self, Retry.self, Drop.self])

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Lists refused deliveries, the oldest first; exits with 69 if a service cannot be asked.")

    @Option(parsing: .unconditional,
      help: ArgumentHelp("How many of each service at the most, 1 to 1000.", valueName: "number"))
    var limit = 100

    @OptionGroup var gateway: GatewayOptions

    func validate() throws {
      guard (1...1_000).contains(limit) else { throw ValidationError("--limit must be from 1 to 1000") }
    }

    func run() async throws {
      let console = Console.system()
      let (list, json) = try await gateway.withGateway { try await $0.refusedDeliveries(limit: limit) }
      if gateway.json {
        try console.print(json)
      } else {
        try Self.show(list, console)
      }
      if list.services.contains(where: { $0.error != nil }) { throw SilentExit(reason: .unavailable) }
    }

    private static func show(_ list: RefusedList, _ console: Console) throws {
      if list.services.contains(where: { $0.deliveries?.isEmpty == false }) {
        let columns = console.isOutputTerminal ? console.columns() : nil
        try console.print(table(list).lines(columns: columns).joined(separator: "\n"))
      } else if list.services.allSatisfy({ $0.error == nil }) {
        console.note("no refused deliveries")
      }
      for service in list.services {
        if let error = service.error { console.note("buddy: \(TerminalText.line(error.message))") }
        if service.nextPageToken?.isEmpty == false {
          console.note("\(TerminalText.line(service.service)) has more; see them with a higher --limit")
        }
      }
    }

    static func table(_ list: RefusedList) -> Table {
      var table = Table(
        ("SERVICE", .left), ("DELIVERY", .left), ("TOPIC", .left), ("KEY", .left), ("REFUSED", .left),
        ("REASON", .left))
      for service in list.services {
        for one in service.deliveries ?? [] {
          table.add(service.service, one.id, one.topic, one.key, one.refusedAt ?? "-", one.reason)
        }
      }
      return table
    }
  }

  struct Retry: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Has a refused delivery delivered again.")

    @OptionGroup var target: DeliveryTarget
    @OptionGroup var gateway: GatewayOptions

    func run() async throws {
      try gateway.report(
        "will be delivered again",
        try await gateway.withGateway { try await $0.retryDelivery(target.service, target.id) })
    }
  }

  struct Drop: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Deletes a refused delivery for good.")

    @OptionGroup var target: DeliveryTarget
    @OptionGroup var gateway: GatewayOptions

    func run() async throws {
      try gateway.report(
        "dropped", try await gateway.withGateway { try await $0.dropDelivery(target.service, target.id) })
    }
  }
}

/// The delivery a command is about.
struct DeliveryTarget: ParsableArguments {
  @Argument(help: ArgumentHelp("The service that sends it.", valueName: "service"))
  var service: String

  @Argument(help: ArgumentHelp("The delivery's id.", valueName: "delivery"))
  var id: String

  func validate() throws {
    if service.isEmpty { throw ValidationError("the service's name is empty") }
    if id.isEmpty { throw ValidationError("the delivery's id is empty") }
  }
}

extension GatewayOptions {
  fileprivate func report(_ outcome: String, _ delivery: RefusedDelivery) throws {
    try Console.system().print(json ? WireJSON.encode(delivery) : "\(TerminalText.line(delivery.id)) \(outcome)")
  }
}

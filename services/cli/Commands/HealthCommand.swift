import ArgumentParser

/// `buddy health`.
struct HealthCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "health", abstract: "Shows how each service is; exits with 69 unless all serve.")

  @OptionGroup var gateway: GatewayOptions

  func run() async throws {
    let console = Console.system()
    let (health, json) = try await gateway.withGateway { try await $0.health() }
    try console.print(gateway.json ? json : Self.table(health).lines(columns: nil).joined(separator: "\n"))
    if !health.isServing { throw SilentExit(reason: .unavailable) }
  }

  static func table(_ health: GatewayHealth) -> Table {
    var table = Table(("SERVICE", .left), ("STATUS", .left))
    table.add("gateway", "SERVING")
    for (name, service) in health.services.sorted(by: { $0.key < $1.key }) { table.add(name, service.status) }
    return table
  }
}

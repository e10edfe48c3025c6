import Messages
import RPC
import ServiceKit
import Storage
import Stubs

@main
enum Main {
  static let budget = Setting<Int>(
    "initial-budget-micros", default: 100_000_000,
    help: "limit of the budget when the database is new, in micro-units of --currency (1 USD = 1000000)")
  static let currency = Setting<String>(
    "currency", default: "USD", help: "ISO 4217 code of the one currency, fixed when the database is new")

  static func main() async {
    await runService(.investment, settings: [budget, currency, InboxService.retention]) { environment in
      let database = try await environment.openDatabase(migrations: migrations)
      let ledger = Ledger(database: database)
      try await ledger.open(
        limit: Int64(environment.settings[budget]), currency: environment.settings[currency])
      environment.metrics.collect("budget", ledger.samples)
      let inbox = InboxService(
        database: database, topics: InvestmentService.inboxTopics, logger: environment.logger)
      var router = Router()
      router.register(InvestmentService(ledger: ledger))
      router.register(inbox)
      return ServiceDefinition(
        router: router, background: [InboxService.pruner(database, environment).run], willStop: { inbox.stop() },
        stop: { await database.close() })
    }
  }
}

/// The schema of this service's database.
let migrations = [
  Migration(1, "initial", sql: PackageResources._01_initial_sql),
  Migration(2, "inbox", sql: Inbox.schema),
]

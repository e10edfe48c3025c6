import ServiceKit
import RPC
import Storage
import Stubs

@main
enum Main {
  static func main() async {
    await runService(.learning, settings: [InboxService.retention]) { environment in
      let database = try await environment.openDatabase(migrations: migrations)
      let store = LearningStore(database: database)
      environment.metrics.collect("signals", every: MetricsRegistry.tableInterval, store.samples)
      let inbox = InboxService(
        database: database, topics: [LearningService.inboxTopic], logger: environment.logger)
      var router = Router()
      router.register(LearningService(store: store))
      router.register(inbox)
      return ServiceDefinition(
        router: router, database: database, background: [InboxService.pruner(database, environment).run],
        willStop: { inbox.stop() }, stop: { await database.close() })
    }
  }
}

/// The schema of this service's database.
let migrations = [
  Migration(1, "initial", sql: PackageResources._01_initial_sql),
  Migration(2, "inbox", sql: Inbox.schema),
]

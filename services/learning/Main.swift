import ServiceKit
import RPC
import Storage
import Stubs

@main
enum Main {
  static func main() async {
    await runService(.learning, settings: []) { environment in
      let database = try await environment.openDatabase(migrations: migrations)
      let store = LearningStore(database: database)
      environment.metrics.collect("signals", store.samples)
      var router = Router()
      router.register(LearningService(store: store))
      return ServiceDefinition(router: router, stop: { await database.close() })
    }
  }
}

/// The schema of this service's database.
let migrations = [
  Migration(1, "initial", sql: PackageResources._01_initial_sql)
]

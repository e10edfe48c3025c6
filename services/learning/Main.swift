import ServiceKit
import RPC
import Storage
import Stubs

@main
enum Main {
  static func main() async {
    await runService(.learning, settings: []) { environment in
      let database = try await environment.openDatabase(migrations: migrations)
      var router = Router()
      router.register(LearningService(store: LearningStore(database: database)))
      return ServiceDefinition(router: router, database: database, stop: { await database.close() })
    }
  }
}

/// The schema of this service's database.
let migrations = [
  Migration(1, "initial", sql: PackageResources._01_initial_sql)
]

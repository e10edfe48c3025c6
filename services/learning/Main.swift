import ServiceKit
import RPC
import Storage
import Stubs

@main
enum Main {
  static func main() async {
    await runService(.learning, settings: []) { environment in
      let database = try await environment.openDatabase(migrations: [
        Migration(1, "initial", sql: PackageResources._01_initial_sql)
      ])
      var router = Router()
      router.register(LearningService(store: LearningStore(database: database)))
      return ServiceDefinition(router: router, stop: { await database.close() })
    }
  }
}

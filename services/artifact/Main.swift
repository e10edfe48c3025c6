import RPC
import ServiceKit
import Storage
import Stubs

@main
enum Main {
  static let maximumSize = Setting<Int>(
    "maximum-artifact-bytes", default: 1 << 30, help: "the largest artifact taken, in bytes")

  static func main() async {
    await runService(.artifact, settings: [maximumSize]) { environment in
      let database = try await environment.openDatabase(migrations: migrations)
      let files = try await ContentFiles.open(folder: "\(environment.dataDirectory)/\(ContentFiles.folder)")
      let store = ArtifactStore(database: database, files: files)
      environment.metrics.collect("artifacts", every: MetricsRegistry.tableInterval, store.samples)
      var router = Router()
      router.register(ArtifactsService(store: store, maximumSize: environment.settings[maximumSize]))
      return ServiceDefinition(
        router: router, database: database, files: { try ContentFiles.belonging(to: $0) },
        stop: { await database.close() })
    }
  }
}

/// The schema of this service's database.
let migrations = [
  Migration(1, "initial", sql: PackageResources._01_initial_sql)
]

import RPC
import ServiceKit
import Storage
import Stubs

@main
enum Main {
  static let unknownMissionWait = Setting<Duration>(
    "unknown-mission-wait", default: .seconds(2),
    help: "how long a watcher of a mission without events waits for the first before NOT_FOUND")

  static func main() async {
    await runService(.progress, settings: [unknownMissionWait, InboxService.retention]) { environment in
      let database = try await environment.openDatabase(migrations: migrations)
      let log = EventLog(database: database, hub: EventHub())
      environment.metrics.collect("subscribers") { [log.hub.sample] }
      let progress = ProgressService(log: log, unknownMissionWait: environment.settings[unknownMissionWait])
      let inbox = InboxService(database: database, topics: [progress.inboxTopic], logger: environment.logger)
      var router = Router()
      router.register(progress)
      router.register(inbox)
      router.register(AuditService(log: log.audit))
      return ServiceDefinition(
        router: router, database: database,
        background: [
          InboxService.pruner(database, environment).run, EventNews(log: log, logger: environment.logger).run,
        ],
        willStop: {
          inbox.stop()
          log.hub.close()
        },
        stop: { await database.close() })
    }
  }
}

/// The schema of this service's database.
let migrations = [
  Migration(1, "initial", sql: PackageResources._01_initial_sql),
  Migration(2, "inbox", sql: Inbox.schema),
  Migration(3, "positions", sql: PackageResources._03_positions_sql),
  Migration(4, "durations", sql: PackageResources._04_durations_sql),
  Migration(5, "audit", sql: PackageResources._05_audit_sql),
]

import RPC
import ServiceKit
import Storage
import Stubs

@main
enum Main {
  static func main() async {
    await runService(.progress, settings: ProgressSettings.all + [InboxService.retention]) { environment in
      let settings = environment.settings
      let database = try await environment.openDatabase(migrations: migrations)
      let limits = RecentEvents.Limits(
        count: settings[ProgressSettings.recentEvents], bytes: settings[ProgressSettings.recentBytes])
      let log = EventLog(
        database: database, hub: EventHub(), recent: RecentEvents(limits: limits),
        eventsPerMission: settings[ProgressSettings.eventsPerMission])
      log.recent.restart(at: try await log.newestPosition())
      environment.metrics.collect("subscribers") { [log.hub.sample] }
      let progress = ProgressService(
        log: log, unknownMissionWait: settings[ProgressSettings.unknownMissionWait],
        maximumLag: UInt64(settings[ProgressSettings.maximumLag]))
      let inbox = InboxService(database: database, topics: progress.inboxTopics, logger: environment.logger)
      var router = Router()
      router.register(progress)
      router.register(inbox)
      router.register(AuditService(log: log.audit))
      return ServiceDefinition(
        router: router, database: database,
        background: [
          InboxService.pruner(database, environment).run, EventNews(log: log, logger: environment.logger).run,
        ] + pruners(log, environment).map { pruner in { @Sendable in await pruner.run() } },
        willStop: {
          inbox.stop()
          log.hub.close()
        },
        stop: { await database.close() })
    }
  }

  private static func pruners(_ log: EventLog, _ environment: ServiceEnvironment) -> [Pruner] {
    [
      Pruner(
        "events", log.database, retention: environment.settings[ProgressSettings.eventRetention],
        logger: environment.logger, prune: log.pruneEnded),
      Pruner("events of long missions", log.database, retention: .zero, logger: environment.logger) {
        try log.pruneLong(limit: $1, $2)
      },
    ]
  }
}

/// The schema of this service's database.
let migrations = [
  Migration(1, "initial", sql: PackageResources._01_initial_sql),
  Migration(2, "inbox", sql: Inbox.schema),
  Migration(3, "positions", sql: PackageResources._03_positions_sql),
  Migration(4, "durations", sql: PackageResources._04_durations_sql),
  Migration(5, "audit", sql: PackageResources._05_audit_sql),
  Migration(6, "audit_start", sql: PackageResources._06_audit_start_sql),
]

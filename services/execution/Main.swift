import Messages
import RPC
import ServiceKit
import Storage
import Stubs

@main
enum Main {
  static func main() async {
    await runService(.execution, settings: ExecutionSettings.all) { environment in
      let database = try await environment.openDatabase(migrations: migrations)
      let settings = environment.settings
      let store = MissionStore(database: database)
      try await store.moveSubmissions()
      try await store.setAgeing(settings[ExecutionSettings.ageingInterval])
      let peers = Peers(environment)
      let (toolbox, classifier) = try Toolbox.from(settings)
      let steps = StepRunner(store: store, peers: peers, toolbox: toolbox, classifier: classifier)
      let partials = PartialResults(store: store, peers: peers, logger: environment.logger)
      let terms = try QueueTerms(settings, tools: toolbox.declarations.map(\.name))
      let pipeline = Pipeline(
        store: store, steps: steps, logger: environment.logger, tracer: environment.tracer, places: terms.places)
      let runner = MissionRunner(
        store: store, holder: LeaseHolder(id: Identifier.make(), duration: settings[ExecutionSettings.leaseDuration]),
        limit: settings[ExecutionSettings.maximumRunning], terms: terms, logger: environment.logger,
        run: pipeline.runTraced)
      let deadlines = DeadlineKeeper(store: store, logger: environment.logger, stop: runner.cancelRuns)
      let forgotten = ForgottenMissions(store: store, logger: environment.logger)
      ExecutionMetrics(store: store, runner: runner, tools: toolbox.declarations.map(\.name))
        .register(in: environment.metrics)
      // Nobody else has this database, so whoever held a lease in it is dead: its missions go on at once.
      if database.isExclusive { try await store.expireLeases() } else { try await store.enqueueForgotten() }

      var router = Router()
      router.register(
        MissionsService(
          store: store, runner: runner, toolbox: toolbox,
          rules: SubmissionRules(
            toolNames: toolbox.declarations.map(\.name), currency: settings[ExecutionSettings.currency],
            defaultBudget: Int64(settings[ExecutionSettings.defaultBudget]),
            approval: ApprovalPolicy(settings, toolbox, classifier))))
      let deliveries = Deliveries(database: database, logger: environment.logger) { environment.client($0) }
      let pruner = Pruner(
        "idempotency", database, retention: settings[ExecutionSettings.idempotencyRetention],
        logger: environment.logger
      ) { try Idempotency.prune(before: $0, limit: $1, in: $2) }
      return ServiceDefinition(
        router: router, database: database,
        background: deliveries.relays + [pruner.run, runner.run, deadlines.run, partials.run]
          + (database.isExclusive ? [] : [forgotten.run]),
        willStop: { runner.stopClaiming() },
        stop: {
          await runner.stopAll()
          await database.close()
        })
    }
  }
}

/// What can be set for the execution service beyond what every service has.
enum ExecutionSettings {
  static let maximumRunning = Setting<Int>(
    "maximum-running", default: 64, help: "how many missions run at a time; the others wait", in: 1...100_000)
  static let ageingInterval = Setting<Duration>(
    "ageing-interval", default: .seconds(10),
    help: "how long a mission waits for what one point of priority is worth; one value for all processes of a database",
    in: .milliseconds(100)...(.seconds(86_400)))
  static let leaseDuration = Setting<Duration>(
    "lease-duration", default: .seconds(15),
    help: "after how long without a sign of life of this process others on the same database take over its missions",
    in: .milliseconds(300)...(.seconds(3_600)))
  static let currency = Setting<String>(
    "currency", default: "USD", help: "ISO 4217 code of the missions' budgets; the investment service's")
  static let defaultBudget = Setting<Int>(
    "default-budget-micros", default: 1_000_000,
    help: "what a mission that names no budget may cost, in micro-units (1 USD = 1000000)")
  static let autoApproveLimit = Setting<Int>(
    "auto-approve-micros", default: 1_000_000,
    help: "missions whose budget is at most this need nobody's approval; 0: every mission needs one")
  static let autoApproveRisk = Setting<ToolDeclaration.Risk>(
    "auto-approve-risk", default: .medium,
    help: "the highest risk of a tool that a mission may use without anybody's approval")
  static let autoApproveRole = Setting<RoleList>(
    "auto-approve-role", default: .trusted, help: "the owners whose missions need nobody's approval, by role")
  static let role = Setting<OwnerRoles>("role", default: OwnerRoles(roles: [:]), help: "the roles of owners")
  static let defaultRole = Setting<Role>(
    "default-role", default: .operator, help: "the role of an owner that --role does not name")
  static let allowPrivateFetch = Setting<Bool>(
    "allow-private-fetch", default: false,
    help: "let web_extract fetch from loopback and private addresses, which may expose what only this host can reach")
  static let tools = Setting<String>(
    "tools", default: "", help: "a JSON file that declares programs as tools; see deploy/examples/tools")
  static let withoutInvestment = Setting<Peers.Policy>(
    "without-investment", default: .closed,
    help: "while the investment service cannot be reached: 'closed' fails missions, 'open' runs them without a budget")
  static let withoutLearning = Setting<Peers.Policy>(
    "without-learning", default: .open,
    help: "while the learning service cannot be reached: 'open' chooses tools without it, 'closed' fails missions")
  static let patience = Setting<Duration>(
    "peer-patience", default: .seconds(30), help: "how long a step waits for a service that cannot be reached")
  static let resultPatience = Setting<Duration>(
    "result-patience", default: .seconds(3_600),
    help: "how long a finished result waits for the service that has to store it")
  static let callTimeout = Setting<Duration>(
    "peer-timeout", default: .seconds(30), help: "the deadline of one call of another service")

  static let idempotencyRetention = Setting<Duration>(
    "idempotency-retention", default: .seconds(7 * 86_400),
    help: "how long a repeated submission or command is recognised by its idempotency key or request id",
    in: .seconds(60)...(.seconds(3_650 * 86_400)))

  static let all: [any SettingDeclaration] = [
    maximumRunning, QueueTerms.toolLimit, QueueTerms.defaultToolLimit, QueueTerms.toolQueue, ageingInterval,
    QueueTerms.fairnessWeight, leaseDuration, currency, defaultBudget, autoApproveLimit, autoApproveRisk,
    autoApproveRole, role, defaultRole, allowPrivateFetch, tools, withoutInvestment, withoutLearning, patience,
    resultPatience, callTimeout, idempotencyRetention,
  ]
}

extension Peers.Policy: SettingValue {}

extension ApprovalPolicy {
  init(_ settings: Settings, _ toolbox: Toolbox, _ classifier: IntentClassifier) {
    self.init(
      maximumBudget: Int64(settings[ExecutionSettings.autoApproveLimit]),
      maximumRisk: settings[ExecutionSettings.autoApproveRisk],
      approvedRoles: settings[ExecutionSettings.autoApproveRole].roles,
      roles: settings[ExecutionSettings.role].roles, defaultRole: settings[ExecutionSettings.defaultRole],
      tools: toolbox.declarations, classifier: classifier)
  }
}

extension Peers {
  init(_ environment: ServiceEnvironment) {
    let settings = environment.settings
    self.init(
      artifacts: ArtifactsClient(environment.client(.artifact)),
      investment: InvestmentClient(environment.client(.investment)),
      learning: LearningClient(environment.client(.learning)),
      withoutInvestment: settings[ExecutionSettings.withoutInvestment],
      withoutLearning: settings[ExecutionSettings.withoutLearning],
      patience: settings[ExecutionSettings.patience],
      resultPatience: settings[ExecutionSettings.resultPatience], callTimeout: settings[ExecutionSettings.callTimeout])
  }
}

/// The schema of this service's database.
let migrations = [
  Migration(1, "initial", sql: PackageResources._01_initial_sql),
  Migration(2, "outbox", sql: Outbox.schema),
  Migration(3, "delivery", sql: Outbox.schema2 + MissionStore.refusedProgress),
  Migration(4, "idempotency", sql: Idempotency.schema),
  Migration(5, "leases", sql: Lease.schema),
  Migration(6, "trace", sql: PackageResources._06_trace_sql),
  Migration(7, "commands", sql: PackageResources._07_commands_sql),
  Migration(8, "queue", sql: PackageResources._08_queue_sql),
  Migration(9, "effects", sql: PackageResources._09_effects_sql),
  Migration(10, "forgotten", sql: PackageResources._10_forgotten_sql),
]

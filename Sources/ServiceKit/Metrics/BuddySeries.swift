/// Every series that Buddy has, with its meaning and its buckets. README.md lists which service has which.
public enum BuddySeries {
  // MARK: Buckets

  /// For durations, from a call on the same machine to a stream of a minute.
  static let seconds = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60]
  /// For counts and sizes.
  static let amounts = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024] as [Double]

  // MARK: Calls

  static let rpcServer = MetricSeries(
    "buddy_rpc_server_duration_seconds", .histogram(bounds: seconds),
    "How long calls took that were answered here, streams to their end.")
  static let rpcClient = MetricSeries(
    "buddy_rpc_client_duration_seconds", .histogram(bounds: seconds),
    "How long calls of other services took, streams to their end.")
  public static let httpServer = MetricSeries(
    "buddy_http_server_duration_seconds", .histogram(bounds: seconds),
    "How long HTTP requests took to the end of the answer's body, event streams too.")
  public static let eventStreams = MetricSeries(
    "buddy_http_event_streams", .gauge, "Event streams that are open at this moment.")

  // MARK: Storage

  static let commits = MetricSeries("buddy_storage_commits_total", .counter, "Transactions committed.")
  static let writes = MetricSeries(
    "buddy_storage_writes_total", .counter, "Writes committed; several share a transaction.")
  static let batchSize = MetricSeries(
    "buddy_storage_batch_size", .histogram(bounds: amounts), "How many writes shared a committed transaction.")
  static let waitingWrites = MetricSeries(
    "buddy_storage_waiting_writes", .gauge, "Writes that wait for their transaction at this moment.")
  static let outboxWaiting = MetricSeries(
    "buddy_outbox_waiting", .gauge, "Messages that wait to be delivered.")
  static let outboxLag = MetricSeries(
    "buddy_outbox_lag_seconds", .gauge, "Age of the oldest message that waits to be delivered; 0 while none does.")
  static let outboxRefused = MetricSeries(
    "buddy_outbox_refused", .gauge, "Messages set aside because their receiver will never take them.")

  // MARK: The services' own

  public static let missions = MetricSeries("buddy_missions", .gauge, "Missions by their state.")
  public static let missionsQueued = MetricSeries(
    "buddy_missions_queued", .gauge, "Missions that wait for a place to run, or for a tool.")
  public static let missionsRunning = MetricSeries(
    "buddy_missions_running", .gauge, "Missions that this process is working on.")
  public static let toolCallsRunning = MetricSeries(
    "buddy_tool_calls_running", .gauge, "Calls of a tool that this process runs.")
  public static let toolCallsLimit = MetricSeries(
    "buddy_tool_calls_limit", .gauge, "Calls of a tool that this process may run at a time.")
  public static let leasesLost = MetricSeries(
    "buddy_lease_lost_total", .counter, "Missions that this process had to leave to others, its lease having expired.")
  public static let toolsAbandoned = MetricSeries(
    "buddy_tools_abandoned_total", .counter, "Calls of tools that were left to themselves, not ending when told to.")
  public static let progressSubscribers = MetricSeries(
    "buddy_progress_subscribers", .gauge, "Watches and long polls that follow a mission at this moment.")
  public static let artifacts = MetricSeries("buddy_artifacts", .gauge, "Artifacts stored.")
  public static let artifactBytes = MetricSeries(
    "buddy_artifact_bytes", .gauge, "Sizes of all artifacts together; a content that several share counts for each.")
  public static let budgetLimit = MetricSeries(
    "buddy_budget_limit_micros", .gauge, "What may be spent in all, in micro-units of the currency.")
  public static let budgetReserved = MetricSeries(
    "buddy_budget_reserved_micros", .gauge, "What is set aside for running missions, in micro-units of the currency.")
  public static let budgetSpent = MetricSeries(
    "buddy_budget_spent_micros", .gauge, "What was spent, in micro-units of the currency.")
  public static let learningSignals = MetricSeries(
    "buddy_learning_signals", .gauge, "Outcomes and feedback that were learned from, replaced ones included.")

  // MARK: Traces

  static let spansExported = MetricSeries(
    "buddy_trace_exported_total", .counter, "Spans that the trace collector has taken.")
  static let spansDropped = MetricSeries(
    "buddy_trace_dropped_total", .counter, "Spans that were not exported: too many at once, or refused.")

  /// Those that are recorded where no registry is at hand, through swift-metrics' own handles.
  static let recordedAnywhere = Dictionary(
    uniqueKeysWithValues: [leasesLost, toolsAbandoned, spansExported, spansDropped].map { ($0.name, $0) })

  // MARK: The process

  static let eventLoopLag = MetricSeries(
    "buddy_event_loop_lag_seconds",
    .histogram(bounds: [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5]),
    "How late event loops ran what was due, looked at regularly on each.")
  static let collectorFailures = MetricSeries(
    "buddy_metrics_collector_failures_total", .counter,
    "Scrapes that left out what a collector had no answer for in time.")
  static let refusedMetrics = MetricSeries(
    "buddy_metrics_refused_total", .counter, "Metrics not shown because another kind of metric has their name.")
  static let processStart = MetricSeries(
    "process_start_time_seconds", .gauge, "When the process started, in seconds since 1970 (UTC).")
  static let processCPU = MetricSeries(
    "process_cpu_seconds_total", .counter, "Processor time used, in user and system mode.")
  static let processResident = MetricSeries(
    "process_resident_memory_bytes", .gauge, "Memory that the process has in RAM.")
  static let processVirtual = MetricSeries(
    "process_virtual_memory_bytes", .gauge, "Address space that the process has reserved.")
  static let processOpenFiles = MetricSeries("process_open_fds", .gauge, "Open file descriptors.")
  static let processMaximumFiles = MetricSeries("process_max_fds", .gauge, "Most file descriptors allowed.")
}

import Logging
import Messages
import Metrics
import RPC
import Stubs
import Synchronization
import Tracing

/// Sends finished spans to an OpenTelemetry collector (OTLP over gRPC), in batches. Its own calls are not traced.
///
/// A collector that is slow, away or refuses costs spans, never a request: while one batch is tried again, the queue
/// fills, and then drops.
final class SpanExporter: Sendable {
  struct Options: Sendable {
    /// Spans of one call.
    var batch = 512
    /// A span waits no longer than this for others to go with it.
    var interval: Duration = .seconds(1)
    /// The deadline of one call.
    var callTimeout: Duration = .seconds(10)
    /// How long a batch is tried again before it is dropped.
    var patience: Duration = .seconds(60)
    /// The first pause between two attempts; doubled each time, up to `maximumPause`.
    var minimumPause: Duration = .milliseconds(200)
    var maximumPause: Duration = .seconds(10)
  }

  let queue: SpanQueue
  private let options: Options
  private let client: Client
  private let resource: [(String, SpanAttribute)]
  private let logger: Logger
  private let exportedTotal = Counter(label: BuddySeries.spansExported.name)
  private let running = Mutex<Task<Void, Never>?>(nil)
  private let lastWarning = Mutex<ContinuousClock.Instant?>(nil)

  init(
    _ endpoint: PeerAddress, resource: [(String, SpanAttribute)], options: Options = .init(), logger: Logger
  ) {
    self.options = options
    self.resource = resource
    self.logger = logger
    queue = SpanQueue(batch: options.batch)
    client = Client(host: endpoint.host, port: endpoint.port)
  }

  /// Begins to send.
  func start() {
    running.withLock { running in
      if running == nil { running = Task.detached { await self.run() } }
    }
  }

  /// Sends what waits, for at most this long; what is left is dropped.
  func shutdown(within limit: Duration) async {
    queue.close()
    guard let task = running.withLock({ $0 }) else { return await client.close() }
    let end = Task {
      try await Task.sleep(for: limit)
      task.cancel()
    }
    await task.value
    end.cancel()
    await client.close()
  }

  // MARK: - Batches

  private func run() async {
    var timer: Task<Void, any Error>?
    var due: ContinuousClock.Instant?
    for await _ in queue.signals {
      guard queue.isFull || due.map({ $0 <= .now }) ?? false else {
        // The first of a batch: the others have until then to join it.
        if due == nil, queue.count > 0 {
          due = .now + options.interval
          timer = Task { [queue, interval = options.interval] in
            try await Task.sleep(for: interval)
            queue.signal()
          }
        }
        continue
      }
      timer?.cancel()
      due = nil
      await sendAll()
    }
    timer?.cancel()
    await sendAll()
  }

  private func sendAll() async {
    while !queue.isEmpty {
      let batch = queue.take()
      if Task.isCancelled { drop(batch, "the service stopped first") } else { await send(batch) }
    }
  }

  /// Tries until the collector takes it, refuses it for good, or patience ends.
  private func send(_ batch: [FinishedSpan]) async {
    let end = Deadline.after(options.patience)
    var pause = options.minimumPause
    while true {
      do {
        return try await export(batch)
      } catch {
        let status = Status(reporting: error)
        if status.code == .resourceExhausted, batch.count > 1 {
          // Perhaps too large for one message.
          await send(Array(batch[..<(batch.count / 2)]))
          return await send(Array(batch[(batch.count / 2)...]))
        }
        guard Self.isWorthAnotherTry(status), !end.isExpired, !Task.isCancelled else {
          return drop(batch, "\(status)")
        }
        let spread = Double.random(in: 0.8...1.2)
        guard (try? await Task.sleep(for: pause * spread)) != nil else { return drop(batch, "\(status)") }
        pause = min(pause * 2, options.maximumPause)
      }
    }
  }

  private func export(_ batch: [FinishedSpan]) async throws {
    let answer = try await OpentelemetryProtoCollectorTraceV1TraceServiceClient(client)
      .export(OTLP.request(batch, resource: resource), .timeout(options.callTimeout))
    let rejected = Int(clamping: max(0, answer.partialSuccess?.rejectedSpans ?? 0))
    exportedTotal.increment(by: Int64(batch.count - min(rejected, batch.count)))
    guard let partial = answer.partialSuccess, rejected > 0 || !partial.errorMessage.isEmpty else { return }
    queue.drop(min(rejected, batch.count))
    warn("the trace collector refused spans", ["rejected": "\(rejected)", "reason": "\(partial.errorMessage)"])
  }

  /// Those of OTLP's specification ("Failures").
  private static func isWorthAnotherTry(_ status: Status) -> Bool {
    switch status.code {
    case .unavailable, .deadlineExceeded, .cancelled, .aborted, .outOfRange, .dataLoss: true
    default: false
    }
  }

  private func drop(_ batch: [FinishedSpan], _ reason: String) {
    queue.drop(batch.count)
    warn("spans were dropped", ["count": "\(batch.count)", "total": "\(queue.dropped)", "reason": "\(reason)"])
  }

  /// At most once a minute: a collector that is away must not fill the log.
  private func warn(_ message: Logger.Message, _ metadata: Logger.Metadata) {
    let isDue = lastWarning.withLock { last in
      if let last, last.duration(to: .now) < .seconds(60) { return false }
      last = .now
      return true
    }
    if isDue { logger.warning(message, metadata: metadata) }
  }
}

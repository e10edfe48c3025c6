import Logging
import RPC
import Storage
import Synchronization

/// Logs what callers are not told: the error behind an INTERNAL or UNKNOWN, and that behind an UNAVAILABLE or
/// RESOURCE_EXHAUSTED which is the database's. RPCTelemetry's `CallLogging` knows codes alone: here it takes
/// `StorageError` to tell a failure from a refusal, and a storm of failures from single ones.
final class FailureLog: ServerInterceptor {
  /// A database that is away fails every call: of one method one failure in so long gets a line, with the number of
  /// those since the last line that got none.
  static let interval = Duration.seconds(5)

  private struct Storm {
    var next: ContinuousClock.Instant
    var unlogged = 0
  }

  private let logger: Logger
  private let storms = Mutex<[String: Storm]>([:])

  init(logger: Logger) {
    self.logger = logger
  }

  func intercept(_ context: ServerContext, _ next: @Sendable () async throws -> Void) async throws {
    do {
      try await next()
    } catch {
      log(error, path: context.path)
      throw error
    }
  }

  func log(_ error: any Error, path: String, at now: ContinuousClock.Instant = .now) {
    guard Self.isOurs(error) else { return }
    var metadata: Logger.Metadata = ["path": "\(path)", "error": "\(error)"]
    if error is StorageError {
      guard let unlogged = due(path, now) else { return }
      if unlogged > 0 { metadata["unlogged"] = "\(unlogged)" }
    }
    logger.error("call failed", metadata: metadata)
  }

  /// How many went without a line since the last one; nil if this one does too.
  private func due(_ path: String, _ now: ContinuousClock.Instant) -> Int? {
    storms.withLock { storms in
      if let storm = storms[path], now < storm.next {
        storms[path]?.unlogged += 1
        return nil
      }
      let unlogged = storms[path]?.unlogged ?? 0
      storms[path] = Storm(next: now + Self.interval)
      return unlogged
    }
  }

  /// The service's own failure, as against a refusal of what was asked, a stop, or a caller that went away.
  static func isOurs(_ error: any Error) -> Bool {
    switch error {
    case StorageError.busy, StorageError.unavailable, StorageError.outcomeUnknown: return true
    default: break
    }
    return switch Status(reporting: error).code {
    case .internalError, .unknown, .dataLoss: true
    case .resourceExhausted: !(error is Status)
    default: false
    }
  }
}

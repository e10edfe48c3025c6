import Foundation

/// A connection that is made again when it is lost.
///
/// The first call after a loss waits for the server for ``DatabaseOptions/reconnectWait``; while it stays away, further
/// calls fail at once, and growing pauses lie between the attempts.
final class PostgresLink {
  let engine: PostgresEngine
  private let backoff = Backoff(first: .milliseconds(20), limit: .seconds(2))
  private var connection: PostgresConnection?
  private var failures = 0
  private var nextAttempt: ContinuousClock.Instant?
  private var lastFailure = ""

  init(engine: PostgresEngine) { self.engine = engine }

  /// The connection if there is one; it may have been lost without anybody having noticed.
  var current: PostgresConnection? {
    guard let connection, !connection.isLost else { return nil }
    return connection
  }

  func close() { connection = nil }

  /// Waits for the server; throws ``StorageError/cannotOpen(path:reason:)`` for what waiting does not help against.
  func open() throws {
    do {
      _ = try connect(until: ContinuousClock.now + engine.options.startTimeout)
    } catch let error as ConnectFailure {
      guard error.isLasting else { throw StorageError.unavailable(error.detail) }
      throw StorageError.cannotOpen(path: engine.address.description, reason: error.detail)
    }
  }

  /// The connection, made again if need be. Throws ``StorageError/unavailable(_:)``.
  func connected() throws -> PostgresConnection {
    if let current { return current }
    if let nextAttempt, ContinuousClock.now < nextAttempt { throw StorageError.unavailable(lastFailure) }
    do {
      return try connect(until: ContinuousClock.now + (failures == 0 ? engine.options.reconnectWait : .zero))
    } catch let error as ConnectFailure {
      lastFailure = error.detail
      throw StorageError.unavailable(error.detail)
    }
  }

  private func connect(until end: ContinuousClock.Instant) throws -> PostgresConnection {
    connection = nil
    while true {
      do {
        let new = try engine.connect()
        (connection, failures, nextAttempt) = (new, 0, nil)
        return new
      } catch let error as ConnectFailure {
        failures += 1
        let pause = backoff.delay(afterFailures: failures)
        guard !error.isLasting, ContinuousClock.now + pause < end else {
          nextAttempt = ContinuousClock.now + pause
          throw error
        }
        Thread.sleep(forTimeInterval: pause / .seconds(1))
      }
    }
  }
}

public import Foundation
public import Logging
public import Storage

/// Deletes what is older than a service has to keep, in small writes that hold nobody up.
public struct Pruner: Sendable {
  /// Deletes up to `limit` rows from before a time; gives how many.
  public typealias Prune = @Sendable (_ before: Date, _ limit: Int, _ connection: WriteConnection) throws -> Int

  private let name: String
  private let database: Database
  private let retention: Duration
  private let interval: Duration
  private let batch: Int
  private let logger: Logger
  private let prune: Prune

  /// - Parameters:
  ///   - name: What is pruned, for the log.
  ///   - retention: How old a row gets.
  ///   - interval: How often to look.
  ///   - batch: How many rows one write deletes at the most.
  public init(
    _ name: String, _ database: Database, retention: Duration, interval: Duration = .seconds(60), batch: Int = 500,
    logger: Logger, prune: @escaping Prune
  ) {
    self.name = name
    self.database = database
    self.retention = retention
    self.interval = interval
    self.batch = batch
    self.logger = logger
    self.prune = prune
  }

  /// Prunes until the task is cancelled or the database closed. What fails is tried again the next time.
  public func run() async {
    while !Task.isCancelled {
      do {
        while try await pruneBatch() == batch { try await Task.sleep(for: .milliseconds(10)) }
      } catch StorageError.closed {
        return
      } catch {
        if !Task.isCancelled {
          logger.warning("pruning failed, will be tried again", metadata: ["of": "\(name)", "error": "\(error)"])
        }
      }
      try? await Task.sleep(for: interval)
    }
  }

  private func pruneBatch() async throws -> Int {
    let time = Date(timeIntervalSinceNow: -(retention / .seconds(1)))
    return try await database.write { [prune, batch] in try prune(time, batch, $0) }
  }
}

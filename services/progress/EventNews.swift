import Logging
import Storage

/// Tells this process's followers of events that other processes of the same database have stored: each of them
/// announces its commits, and what a broken connection keeps from being heard is found by looking regularly.
struct EventNews: Sendable {
  /// What is announced through the database: that there are events, not which.
  static let topic = "events"
  /// How often to look without having been woken.
  static let pollInterval = Duration.seconds(1)

  let log: EventLog
  let logger: Logger
  var pollInterval = Self.pollInterval

  /// Passes news on until the task is cancelled or the database closed. A database that nobody else can have open has
  /// none to pass on: then it returns at once.
  func run() async {
    guard !log.database.isExclusive else { return }
    let (news, more) = log.database.listen(Self.topic)
    // There may be some from before it listened.
    more.yield()
    await withTaskGroup(of: Void.self) { group in
      group.addTask { await passOn(news) }
      group.addTask { while (try? await Task.sleep(for: pollInterval)) != nil { more.yield() } }
      await group.next()
      group.cancelAll()
    }
  }

  private func passOn(_ news: AsyncStream<Void>) async {
    var isFailing = false
    for await _ in news {
      do {
        try await log.announceStored()
        isFailing = false
      } catch StorageError.closed {
        return
      } catch {
        // One line for an outage, however long.
        if !isFailing {
          logger.warning("cannot look for new events, will be tried again", metadata: ["error": "\(error)"])
        }
        isFailing = true
      }
    }
  }
}

import Foundation
import Synchronization

/// Passes on what other processes' writers announce: a connection and a thread of its own that listen to the schema's
/// channel. A connection that is lost is made again, and then every topic is woken: what was announced meanwhile went
/// unheard.
final class PostgresListener: SignalListener {
  private let engine: PostgresEngine
  private let signals: CommitSignals
  private let isStopping = Atomic(false)
  private let thread = Mutex<Worker?>(nil)
  /// Readable once the thread is to end.
  private let stop = Pipe()

  init(engine: PostgresEngine, signals: CommitSignals) {
    self.engine = engine
    self.signals = signals
  }

  func start() async throws {
    let worker = try await Worker.start(name: "storage-listen") { ready in
      var isFirst = true
      var failures = 0
      let backoff = Backoff(first: .milliseconds(50), limit: .seconds(2))
      while !self.isStopping.load(ordering: .acquiring) {
        do {
          try self.listen {
            if isFirst { ready() } else { self.signals.notifyAll() }
            (isFirst, failures) = (false, 0)
          }
        } catch {
          // Whoever waits looks by itself now and then, so a service can do without for as long as it takes.
          if isFirst { ready() }
          isFirst = false
          failures += 1
          self.pause(backoff.delay(afterFailures: failures))
        }
      }
    }
    thread.withLock { $0 = worker }
  }

  func close() async {
    abandon()
    await thread.withLock { $0 }?.join()
  }

  func abandon() {
    isStopping.store(true, ordering: .releasing)
    try? stop.fileHandleForWriting.write(contentsOf: [0])
  }

  /// Returns when it is to stop, throws when the connection is lost.
  private func listen(_ listening: () -> Void) throws {
    let connection = try engine.connect()
    _ = try connection.exchange([.once("LISTEN \"\(engine.channel)\"")], limit: engine.options.connectTimeout)
    listening()
    while !isStopping.load(ordering: .acquiring) {
      for topic in try connection.notifications() { signals.notify(topic) }
      var waits = [
        pollfd(fd: connection.socket, events: Int16(POLLIN), revents: 0),
        pollfd(fd: stop.fileHandleForReading.fileDescriptor, events: Int16(POLLIN), revents: 0),
      ]
      _ = poll(&waits, nfds_t(waits.count), -1)
    }
  }

  private func pause(_ duration: Duration) {
    var wait = pollfd(fd: stop.fileHandleForReading.fileDescriptor, events: Int16(POLLIN), revents: 0)
    _ = poll(&wait, 1, Int32(duration.wholeMilliseconds))
  }
}

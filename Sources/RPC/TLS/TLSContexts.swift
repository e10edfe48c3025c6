import Dispatch
import Glibc
import NIOConcurrencyHelpers
import NIOSSL

/// A context that is made from files, and made again when they change. Connections that exist keep theirs.
///
/// Files that cannot be used, for example because only half of them are written yet, change nothing but for a line in
/// the log; they are looked at again when they change again.
final class TLSContexts: Sendable {
  typealias Make = @Sendable () throws(TLSFileError) -> NIOSSLContext

  private struct State {
    var context: NIOSSLContext
    var seen: [FileStamp?]
  }

  private let files: [String]
  private let interval: Duration
  private let log: @Sendable (String) -> Void
  private let make: Make
  private let state: NIOLockedValueBox<State>

  /// Reads the files: not for an event loop.
  init(
    files: [String], reloadInterval: Duration, log: @escaping @Sendable (String) -> Void, make: @escaping Make
  ) throws(TLSFileError) {
    self.files = files
    self.log = log
    self.make = make
    interval = max(reloadInterval, .milliseconds(10))
    // In this order: what changes in between is found the next time.
    let seen = files.map(FileStamp.init)
    state = NIOLockedValueBox(State(context: try make(), seen: seen))
    if !files.isEmpty { watch() }
  }

  /// For a new connection.
  var current: NIOSSLContext { state.withLockedValue { $0.context } }

  /// Looks after the files for as long as somebody uses this.
  private func watch() {
    let wait = DispatchTimeInterval.nanoseconds(Int(min(interval.nanoseconds, Int64.max / 2)))
    DispatchQueue.global(qos: .utility).asyncAfter(deadline: .now() + wait) { [weak self] in
      guard let self else { return }
      self.look()
      self.watch()
    }
  }

  private func look() {
    let seen = files.map(FileStamp.init)
    guard state.withLockedValue({ $0.seen != seen }) else { return }
    do {
      let context = try make()
      state.withLockedValue { $0 = State(context: context, seen: seen) }
      log("TLS: new certificates are used from now on, read from \(files.joined(separator: ", "))")
    } catch {
      state.withLockedValue { $0.seen = seen }
      log("TLS: the certificates changed and the old ones stay in use: \(error)")
    }
  }
}

/// What shows that a file has been replaced or rewritten; nil where there is none.
struct FileStamp: Hashable {
  private let inode: UInt64
  private let size: Int64
  private let seconds: Int
  private let nanoseconds: Int

  init?(_ path: String) {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    inode = UInt64(status.st_ino)
    size = Int64(status.st_size)
    (seconds, nanoseconds) = (status.st_mtim.tv_sec, status.st_mtim.tv_nsec)
  }
}

import Dispatch
import Glibc
import NIOConcurrencyHelpers
import NIOSSL

/// A context that is made from files, and made again when they change. Connections that exist keep theirs.
///
/// Files that cannot be used, for example because only half of them are written yet, change nothing but for a line in
/// the log. They are tried again at each look, for the reason may pass without a change of the files: permissions, too
/// many open files, a certificate whose time comes. What is logged is a reason that is not that of the time before.
final class TLSContexts: Sendable {
  typealias Make = @Sendable () throws(TLSFileError) -> NIOSSLContext

  private struct State {
    var context: NIOSSLContext
    /// The files that the context is made from.
    var seen: [FileStamp?]
    /// Why they could not be used when they were last looked at.
    var problem: String?
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
    guard state.withLockedValue({ $0.problem != nil || $0.seen != seen }) else { return }
    do {
      let context = try make()
      state.withLockedValue { $0 = State(context: context, seen: seen) }
      log("TLS: new certificates are used from now on, read from \(files.joined(separator: ", "))")
    } catch {
      let problem = "\(error)"
      let isNew = state.withLockedValue { state in
        defer { state.problem = problem }
        return state.problem != problem
      }
      if isNew { log("TLS: the certificates changed and the old ones stay in use: \(problem)") }
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

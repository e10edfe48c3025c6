import Foundation
import NIOPosix
import Synchronization

/// A process group that can be killed from anywhere for as long as its number is certain to be its own.
final class ProcessGroup: Sendable {
  private enum State {
    case notBegun
    /// It is to be killed as soon as it begins.
    case unwanted
    case running(pid_t)
    case ended
  }

  private let state = Mutex(State.notBegun)

  func began(_ id: pid_t) {
    state.withLock { state in
      if case .unwanted = state { Self.kill(id) }
      state = .running(id)
    }
  }

  func kill() {
    state.withLock { state in
      switch state {
      case .notBegun: state = .unwanted
      case .running(let id): Self.kill(id)
      case .unwanted, .ended: break
      }
    }
  }

  /// The group and, whatever group they are in, the children of its members, which are found while those live.
  private static func kill(_ id: pid_t) {
    let others = ProcessTable.descendants(ofSession: id)
    Foundation.kill(-id, SIGKILL)
    for process in others { Foundation.kill(process, SIGKILL) }
  }

  /// Kills what is left of it, and never again. To be called before its leader is reaped.
  func end() {
    kill()
    state.withLock { $0 = .ended }
  }
}

/// Finds the processes that a call has left behind, by a variable they have inherited, and kills them.
enum ProcessSweep {
  static let variable = "BUDDY_TOOL_CALL"
  /// A killed process is gone within milliseconds, unless the kernel waits for a device in its place.
  private static let rounds = 200
  private static let pause = Duration.milliseconds(2)

  /// Returns when none of them runs any more.
  static func kill(markedWith mark: String) async {
    let entry = "\(variable)=\(mark)"
    // Shielded, because a cancelled call is what this is for.
    await Task {
      for _ in 0..<rounds {
        let found = (try? await NIOThreadPool.singleton.runIfActive { marked(entry) }) ?? []
        guard !found.isEmpty else { return }
        for process in found { Foundation.kill(process, SIGKILL) }
        try? await Task.sleep(for: pause)
      }
    }.value
  }

  /// A process that has ended has no environment any more, be it reaped or not.
  private static func marked(_ mark: String) -> [pid_t] {
    var buffer = [CChar](repeating: 0, count: 256 * 1_024)
    return ProcessTable.ids().filter { id in
      id != getpid() && variable(in: id, &buffer) { strcmp($0, mark) == 0 ? true : nil } == true
    }
  }

  /// Kills what calls of services have left that are dead: processes of this user that have left their group. Blocks.
  static func killLeft() {
    var buffer = [CChar](repeating: 0, count: 256 * 1_024)
    let prefix = "\(variable)="
    for id in ProcessTable.ids() where id != getpid() && ProcessTable.owner(of: id) == getuid() {
      let mark = Self.variable(in: id, &buffer) { entry in
        strncmp(entry, prefix, prefix.utf8.count) == 0 ? String(cString: entry + prefix.utf8.count) : nil
      }
      if let mark, ProcessMark.isOfDeadService(mark) { Foundation.kill(id, SIGKILL) }
    }
  }

  /// What `body` makes of the first variable of a process of which it makes anything. Looks at as much as the buffer
  /// holds, by C's own functions: there are many processes.
  private static func variable<Found>(
    in id: pid_t, _ buffer: inout [CChar], _ body: (UnsafePointer<CChar>) -> Found?
  ) -> Found? {
    let count = ProcessTable.read("/proc/\(id)/environ", &buffer)
    return buffer.withUnsafeBufferPointer { variables in
      guard let start = variables.baseAddress else { return nil }
      var offset = 0
      while offset < count {
        if let found = body(start + offset) { return found }
        offset += strlen(start + offset) + 1
      }
      return nil
    }
  }
}

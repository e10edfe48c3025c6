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
      if case .unwanted = state { Foundation.kill(-id, SIGKILL) }
      state = .running(id)
    }
  }

  func kill() {
    state.withLock { state in
      switch state {
      case .notBegun: state = .unwanted
      case .running(let id): Foundation.kill(-id, SIGKILL)
      case .unwanted, .ended: break
      }
    }
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
    guard let folder = opendir("/proc") else { return [] }
    defer { closedir(folder) }
    var found: [pid_t] = []
    var buffer = [CChar](repeating: 0, count: 256 * 1_024)
    while let entry = readdir(folder) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      guard let id = pid_t(name), id != getpid(), has(mark, id, &buffer) else { continue }
      found.append(id)
    }
    return found
  }

  /// Looks at as much as the buffer holds, by C's own functions: there are many processes.
  private static func has(_ mark: String, _ id: pid_t, _ buffer: inout [CChar]) -> Bool {
    let descriptor = open("/proc/\(id)/environ", O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return false }
    defer { close(descriptor) }
    let count = read(descriptor, &buffer, buffer.count - 1)
    guard count > 0 else { return false }
    buffer[count] = 0
    return buffer.withUnsafeBufferPointer { variables in
      guard let start = variables.baseAddress else { return false }
      var offset = 0
      while offset < count {
        if strcmp(start + offset, mark) == 0 { return true }
        offset += strlen(start + offset) + 1
      }
      return false
    }
  }
}

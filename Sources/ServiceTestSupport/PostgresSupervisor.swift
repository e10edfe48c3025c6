import Foundation
import Synchronization

/// A shell between the tests and a server: it ends with the server, and ends the server and removes its folder when
/// its own standard input ends, which it does with the test process.
final class Supervisor: Sendable {
  private static let script = """
    folder=$1
    shift
    exec 3<&0
    "$@" >> "$folder/log" 2>&1 < /dev/null 3<&- &
    server=$!
    {
      read -r order <&3
      kill -QUIT "$server" 2>/dev/null
      [ "$order" = stop ] && exit
      while kill -0 "$server" 2>/dev/null; do sleep 0.05; done
      rm -rf "$folder"
    } &
    wait "$server"
    """

  private let running = Mutex<(process: Process, input: Pipe)?>(nil)

  var isRunning: Bool { running.withLock { $0?.process.isRunning ?? false } }

  func start(folder: String, _ command: [String]) throws {
    let (process, input) = (Process(), Pipe())
    process.executableURL = URL(fileURLWithPath: "/bin/sh")
    process.arguments = ["-c", Self.script, "sh", folder] + command
    process.currentDirectoryURL = URL(fileURLWithPath: folder)
    process.standardInput = input
    try ServiceProcess.withoutBlockedSignals { try process.run() }
    running.withLock { $0 = (process, input) }
  }

  func stop(andRemove: Bool) {
    running.withLock { running in
      guard let input = running?.input else { return }
      if !andRemove { try? input.fileHandleForWriting.write(contentsOf: Data("stop\n".utf8)) }
      try? input.fileHandleForWriting.close()
    }
  }
}

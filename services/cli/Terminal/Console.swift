import Foundation
import Synchronization

/// Where the command writes: results to standard output, everything that is only about them to standard error.
struct Console: Sendable {
  enum Target: Sendable { case output, errors }

  /// Writes the bytes as they are.
  let write: @Sendable (Target, [UInt8]) -> Void
  let isOutputTerminal: Bool
  /// A terminal that can redraw a line: not for `TERM=dumb`.
  let isErrorTerminal: Bool
  /// Columns of the terminal, asked each time because windows are resized.
  let columns: @Sendable () -> Int
  /// False where `NO_COLOR` is set (https://no-color.org) or where there is no terminal.
  let usesColor: Bool
  let usesUnicode: Bool

  func print(_ text: String) { write(.output, Array((text + "\n").utf8)) }

  func note(_ text: String) { write(.errors, Array((text + "\n").utf8)) }
}

extension Console {
  static func system(environment: [String: String] = ProcessInfo.processInfo.environment) -> Console {
    let isDumb = environment["TERM"] == "dumb"
    let isErrorTerminal = isatty(STDERR_FILENO) == 1 && !isDumb
    let columns = environment["COLUMNS"].flatMap { Int($0) }
    return Console(
      write: { target, bytes in writeAll(target == .output ? STDOUT_FILENO : STDERR_FILENO, bytes) },
      isOutputTerminal: isatty(STDOUT_FILENO) == 1,
      isErrorTerminal: isErrorTerminal,
      columns: { terminalColumns() ?? columns ?? 80 },
      usesColor: isErrorTerminal && (environment["NO_COLOR"] ?? "").isEmpty,
      usesUnicode: isUTF8(environment))
  }

  /// The first of the three variables that is set decides, as in setlocale(3).
  static func isUTF8(_ environment: [String: String]) -> Bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].lazy.compactMap { environment[$0] }.first { !$0.isEmpty } ?? ""
    let name = locale.lowercased()
    return name.contains("utf-8") || name.contains("utf8")
  }

  private static func terminalColumns() -> Int? {
    var size = winsize()
    guard ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return nil }
    return Int(size.ws_col)
  }

  /// A reader that went away (`buddy … | head`) is no error of ours: the rest is dropped.
  private static func writeAll(_ descriptor: Int32, _ bytes: [UInt8]) {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0 {
        if errno == EINTR { continue }
        return
      }
      rest = rest.dropFirst(count)
    }
  }
}

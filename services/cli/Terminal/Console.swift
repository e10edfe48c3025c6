import Foundation
import Synchronization

/// Where the command writes: results to standard output, everything that is only about them to standard error.
struct Console: Sendable {
  enum Target: Sendable { case output, errors }

  /// Thrown where the reader of a pipe went away (`buddy … | head`): it has what it wanted.
  struct ReaderGone: Error {}

  /// Writes the bytes as they are, all of them; throws if that cannot be done.
  let write: @Sendable (Target, [UInt8]) throws -> Void
  let isOutputTerminal: Bool
  /// A terminal that can redraw a line: not for `TERM=dumb`.
  let isErrorTerminal: Bool
  /// Columns of the terminal, asked each time because windows are resized.
  let columns: @Sendable () -> Int
  /// False where `NO_COLOR` is set (https://no-color.org) or where there is no terminal.
  let usesColor: Bool
  let usesUnicode: Bool
  /// One line that a person types, nil at the end of input; nil where nobody is there to ask.
  var readLine: (@Sendable () async throws -> String?)?

  /// Throws status 73 where standard output cannot be written: a result that nobody gets is no success. Without a
  /// reader the rest is dropped, and the exit status is that of the command itself.
  func print(_ text: String) throws {
    do { try write(.output, Array((text + "\n").utf8)) } catch is ReaderGone { return }
  }

  /// Best effort: there is no place left to say that standard error cannot be written.
  func note(_ text: String) { draw(Array((text + "\n").utf8)) }

  /// Writes to standard error as it is.
  func draw(_ bytes: [UInt8]) { try? write(.errors, bytes) }
}

extension Console {
  static func system(environment: [String: String] = ProcessInfo.processInfo.environment) -> Console {
    let isDumb = environment["TERM"] == "dumb"
    let isErrorTerminal = isatty(STDERR_FILENO) == 1 && !isDumb
    let columns = environment["COLUMNS"].flatMap { Int($0) }
    var readLine: (@Sendable () async throws -> String?)?
    if TerminalInput.isPresent, !isDumb { readLine = { try await TerminalInput.readLine() } }
    return Console(
      write: { target, bytes in try writeAll(target == .output ? STDOUT_FILENO : STDERR_FILENO, bytes) },
      isOutputTerminal: isatty(STDOUT_FILENO) == 1,
      isErrorTerminal: isErrorTerminal,
      columns: { terminalColumns() ?? columns ?? 80 },
      usesColor: isErrorTerminal && (environment["NO_COLOR"] ?? "").isEmpty,
      usesUnicode: isUTF8(environment),
      readLine: readLine)
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

  /// Puts something in the place of standard streams that are closed (`>&-`): else the next file or connection that is
  /// opened would get their number, and with it what is printed. What takes the place of standard output cannot be
  /// written, so that the loss is noticed. Must come before anything is opened.
  static func holdClosedStreams() {
    signal(SIGPIPE, SIG_IGN)
    for (descriptor, mode) in [(STDIN_FILENO, O_RDONLY), (STDOUT_FILENO, O_RDONLY), (STDERR_FILENO, O_WRONLY)] {
      // The lowest free number is given out, which is this one: those below it are taken.
      if fcntl(descriptor, F_GETFD) == -1 { _ = open("/dev/null", mode) }
    }
  }

  private static func writeAll(_ descriptor: Int32, _ bytes: [UInt8]) throws {
    var rest = bytes[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0 {
        let code = errno
        if code == EINTR { continue }
        if code == EAGAIN {
          waitUntilWritable(descriptor)
          continue
        }
        if code == EPIPE { throw ReaderGone() }
        throw CommandError(
          code: "OUTPUT", message: "cannot write standard output: \(String(cString: strerror(code)).lowercased())",
          exit: .cannotWrite)
      }
      rest = rest.dropFirst(count)
    }
  }

  /// Somebody else made the pipe non-blocking: that belongs to all who share it.
  private static func waitUntilWritable(_ descriptor: Int32) {
    var request = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
    _ = poll(&request, 1, -1)
  }
}

import Foundation
import NIOPosix

/// What a person types.
enum TerminalInput {
  /// True where somebody sits at standard input and can see what is asked.
  static var isPresent: Bool { isatty(STDIN_FILENO) == 1 && isatty(STDERR_FILENO) == 1 }

  /// How soon a cancelled wait ends, in milliseconds.
  private static let tick: Int32 = 100
  private static let longest = 64 * 1024

  /// One line without its end; nil at the end of input. Throws `CancellationError` when the task is cancelled.
  static func readLine() async throws -> String? {
    var line: [UInt8] = []
    while true {
      try Task.checkCancellation()
      guard let piece = try await NIOThreadPool.singleton.runIfActive({ readPiece() }) else { return nil }
      line += piece
      if line.last == 0x0A || line.count > longest { break }
    }
    return String(decoding: line.filter { $0 != 0x0A && $0 != 0x0D }, as: UTF8.self)
  }

  /// What was typed within a tick; nil at the end of input.
  private static func readPiece() -> [UInt8]? {
    var request = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
    // A job in the background that reads would be stopped: it waits until it is in front.
    guard tcgetpgrp(STDIN_FILENO) == getpgrp() else {
      _ = poll(nil, 0, tick)
      return []
    }
    guard poll(&request, 1, tick) > 0 else { return [] }
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = read(STDIN_FILENO, &bytes, bytes.count)
    if count < 0 { return errno == EINTR || errno == EAGAIN ? [] : nil }
    return count == 0 ? nil : Array(bytes.prefix(count))
  }
}

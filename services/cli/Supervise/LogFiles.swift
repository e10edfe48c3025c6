import Foundation
import NIOCore
import NIOPosix
import ServiceKit

/// Reads what services wrote into their logs.
enum LogFiles {
  /// The last lines of a log, safe for a terminal; none if it cannot be read.
  static func tail(_ path: String, lines: Int, maximumBytes: Int = 16 * 1024) async -> [String] {
    let bytes = try? await NIOThreadPool.singleton.runIfActive { () -> Data in
      guard let file = FileHandle(forReadingAtPath: path) else { return Data() }
      let size = try file.seekToEnd()
      try file.seek(toOffset: size > UInt64(maximumBytes) ? size - UInt64(maximumBytes) : 0)
      return try file.readToEnd() ?? Data()
    }
    let text = String(decoding: bytes ?? Data(), as: UTF8.self)
    return text.split(separator: "\n").suffix(lines).map { TerminalText.line(String($0)) }
  }

  /// Hands over each line that is added to a log, until cancelled. A log that is not there yet is waited for.
  static func follow(_ path: String, _ line: @Sendable (String) -> Void) async {
    var (offset, splitter) = (UInt64(0), LineSplitter())
    while !Task.isCancelled {
      let position = offset
      let bytes = try? await NIOThreadPool.singleton.runIfActive { () -> Data in
        guard let file = FileHandle(forReadingAtPath: path) else { return Data() }
        try file.seek(toOffset: position)
        return try file.read(upToCount: 256 * 1024) ?? Data()
      }
      let piece = bytes ?? Data()
      offset += UInt64(piece.count)
      for text in splitter.consume(piece) { line(TerminalText.line(text)) }
      if piece.isEmpty { _ = try? await Task.sleep(for: .milliseconds(100)) }
    }
  }
}

/// Cuts bytes into lines, however they are cut themselves.
struct LineSplitter {
  /// A line without end is cut here.
  static let maximumLine = 64 * 1024

  private var rest: [UInt8] = []

  /// The lines that these bytes complete.
  mutating func consume(_ bytes: some Sequence<UInt8>) -> [String] {
    var lines: [String] = []
    for byte in bytes {
      if byte != 0x0A { rest.append(byte) }
      if byte == 0x0A || rest.count >= Self.maximumLine {
        lines.append(String(decoding: rest, as: UTF8.self))
        rest.removeAll(keepingCapacity: true)
      }
    }
    return lines
  }
}

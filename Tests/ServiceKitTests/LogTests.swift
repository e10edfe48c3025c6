import Foundation
import Logging
import Synchronization
import TestSupport
import Testing

@testable import ServiceKit

/// The lines a handler wrote.
final class Lines: Sendable {
  private let all = Mutex<[String]>([])
  var text: String { all.withLock { $0.joined() } }
  func add(_ line: String) { all.withLock { $0.append(line) } }
}

@Suite struct LogTests {
  private struct Line: Decodable {
    var time: String
    var level: String
    var logger: String
    var message: String
    var metadata: [String: String]?
  }

  private func logger(_ format: LogFormat, _ lines: Lines, level: Logger.Level = .info) -> Logger {
    Logger(label: "execution") { LineLogHandler(label: $0, format: format, level: level) { lines.add($0) } }
  }

  private static let nasty = "a \"quote\"\\ line\nend\r\t\u{0}\u{1B}[31m \u{2028} 中文 🦊"

  @Test func jsonLinesParse() throws {
    let lines = Lines()
    var logger = logger(.json, lines)
    logger[metadataKey: "mission"] = "m1"
    logger.info("plain")
    logger.error("\(Self.nasty)", metadata: ["key \"x\"": "\(Self.nasty)"])
    let all = lines.text.split(separator: "\n").map(String.init)
    #expect(all.count == 2)
    let parsed = try all.map { try JSONDecoder().decode(Line.self, from: Data($0.utf8)) }
    #expect(parsed[0].message == "plain")
    #expect(parsed[0].level == "info")
    #expect(parsed[0].logger == "execution")
    #expect(parsed[0].metadata == ["mission": "m1"])
    #expect(try Date(parsed[0].time, strategy: Date.ISO8601FormatStyle(includingFractionalSeconds: true)) <= Date())
    #expect(parsed[1].message == Self.nasty)
    #expect(parsed[1].metadata?["key \"x\""] == Self.nasty)
  }

  @Test func nestedMetadataIsJSON() throws {
    let lines = Lines()
    logger(.json, lines).info("x", metadata: ["list": ["a", ["b": "c"]], "empty": [:]])
    let object = try JSONSerialization.jsonObject(with: Data(lines.text.utf8)) as? [String: Any]
    let metadata = try #require(object?["metadata"] as? [String: Any])
    #expect((metadata["list"] as? [Any])?.count == 2)
  }

  @Test func textStaysOnItsLine() {
    let lines = Lines()
    logger(.text, lines).warning("\(Self.nasty)", metadata: ["k": "two words", "e": "", "n": "5"])
    #expect(lines.text.count { $0.isNewline } == 1)
    #expect(!lines.text.contains("\u{1B}"))
    #expect(lines.text.hasSuffix(" e=\"\" k=\"two words\" n=5\n"))
    #expect(lines.text.contains(" warning execution: a \"quote\""))
  }

  @Test func levelsAreKept() {
    let lines = Lines()
    let logger = logger(.text, lines, level: .warning)
    logger.info("hidden")
    logger.error("shown")
    #expect(lines.text.contains("shown"))
    #expect(!lines.text.contains("hidden"))
  }
}

import Messages
import TestSupport
import Testing

@testable import BuddyCLI

@Suite("Server-sent events")
struct ServerSentEventTests {
  private static let stream = """
    : hello

    id: 1
    event: step_started
    data: {"a":1}

    :

    id:2
    event:state_changed
    data: first
    data:  second
    retry: 5000
    unknown: field

    data
    event: end

    """ + "\n"

  private static let expected = [
    ServerSentEvent(id: "1", type: "step_started", data: #"{"a":1}"#),
    ServerSentEvent(id: "2", type: "state_changed", data: "first\n second"),
    ServerSentEvent(id: "2", type: "end", data: ""),
  ]

  private func parse(_ pieces: [[UInt8]]) throws -> [ServerSentEvent] {
    var parser = ServerSentEventParser()
    return try pieces.flatMap { try parser.consume($0) }
  }

  @Test("the whole at once")
  func whole() throws { #expect(try parse([Array(Self.stream.utf8)]) == Self.expected) }

  @Test("split at every byte, with each kind of line end", arguments: ["\n", "\r\n", "\r"])
  func everySplit(_ lineEnd: String) throws {
    let bytes = Array(Self.stream.replacing("\n", with: lineEnd).utf8)
    for cut in 0...bytes.count {
      #expect(try parse([Array(bytes[..<cut]), Array(bytes[cut...])]) == Self.expected, "cut at \(cut)")
    }
    #expect(try parse(bytes.map { [$0] }) == Self.expected)
  }

  @Test("split anywhere, any number of times")
  func randomSplits() throws {
    var random = SeededRandom()
    let bytes = Array(Self.stream.replacing("first", with: "größer 🎉").utf8)
    let whole = try parse([bytes])
    for _ in 0..<300 {
      var (pieces, rest) = ([[UInt8]](), bytes[...])
      while !rest.isEmpty {
        let count = Int.random(in: 0...min(9, rest.count), using: &random)
        pieces.append(Array(rest.prefix(count)))
        rest = rest.dropFirst(count)
      }
      #expect(try parse(pieces) == whole)
    }
  }

  @Test("a byte order mark at the very start is passed over, elsewhere it is text")
  func byteOrderMark() throws {
    #expect(try parse([Array("\u{FEFF}data: x\n\n".utf8)]) == [ServerSentEvent(data: "x")])
    #expect(try parse([Array("data: \u{FEFF}x\n\n".utf8)]) == [ServerSentEvent(data: "\u{FEFF}x")])
  }

  @Test("an event that the end cuts short is not reported")
  func cutShort() throws { #expect(try parse([Array("data: x\n".utf8)]).isEmpty) }

  @Test("an id stays until another one comes; one with NUL does not count")
  func ids() throws {
    let events = try parse([Array("id: 7\ndata: a\n\ndata: b\n\nid: 8\u{0}\ndata: c\n\nid\ndata: d\n\n".utf8)])
    #expect(events.map { $0.id } == ["7", "7", "7", ""])
  }

  @Test("an endless line and an endless event are refused")
  func tooLong() {
    var parser = ServerSentEventParser()
    #expect(throws: ServerSentEventParser.TooLong.self) {
      for _ in 0..<20 { _ = try parser.consume(repeatElement(UInt8(ascii: "x"), count: 100_000)) }
    }
    parser = ServerSentEventParser()
    #expect(throws: ServerSentEventParser.TooLong.self) {
      for _ in 0..<20 { _ = try parser.consume(Array("data: \(String(repeating: "x", count: 100_000))\n".utf8)) }
    }
  }
}

@Suite("Following events without gap or duplicate")
struct EventCursorTests {
  @Test("the next is shown, an old one is passed over, a later one is a gap")
  func cursor() {
    var cursor = EventCursor(after: 4)
    #expect(cursor.take(ProgressEvent(sequence: 4)) == .duplicate)
    #expect(cursor.take(ProgressEvent(sequence: 6)) == .gap)
    #expect(cursor.take(ProgressEvent(sequence: 5)) == .show)
    #expect(cursor.take(ProgressEvent(sequence: 6)) == .show)
    #expect(cursor.take(ProgressEvent(sequence: 1)) == .duplicate)
    #expect(cursor.sequence == 6)
  }

  @Test("pauses double up to the longest, begin anew after a sign of life, and end at the limit")
  func reconnect() {
    let start = ContinuousClock.now
    var policy = ReconnectPolicy(now: start, limit: .seconds(60))
    #expect(policy.failed(at: start) == .milliseconds(200))
    #expect(policy.failed(at: start) == .milliseconds(400))
    for _ in 0..<5 { _ = policy.failed(at: start) }
    #expect(policy.failed(at: start) == .seconds(2))
    #expect(policy.failed(at: start + .milliseconds(59_500)) == .milliseconds(500))
    #expect(policy.failed(at: start + .seconds(60)) == nil)
    policy.alive(at: start + .seconds(70))
    #expect(policy.failed(at: start + .seconds(71)) == .milliseconds(200))
  }
}

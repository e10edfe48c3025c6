import AsyncHTTPClient
import Foundation
import NIOCore

/// One server-sent event as a client sees it.
struct SentEvent: Equatable, Sendable {
  var id: String?
  var name: String?
  var data = ""
}

/// Takes a text/event-stream body apart: blocks separated by an empty line; comments are counted, not returned.
struct EventReader {
  private var body: HTTPClientResponse.Body.AsyncIterator
  private var buffer = ""
  private(set) var comments = 0
  private(set) var retry: String?

  init(_ response: HTTPClientResponse) {
    body = response.body.makeAsyncIterator()
  }

  /// The next event; nil at the stream's end.
  mutating func next() async throws -> SentEvent? {
    while let block = try await nextBlock() {
      var event = SentEvent()
      for line in block.split(separator: "\n") {
        let parts = line.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        let value = String(parts.last?.drop { $0 == " " } ?? "")
        switch parts[0] {
        case "": comments += 1
        case "id": event.id = value
        case "event": event.name = value
        case "data": event.data += value
        case "retry": retry = value
        default: break
        }
      }
      if event != SentEvent() { return event }
    }
    return nil
  }

  /// Reads on until `count` comments have come.
  mutating func waitForComments(_ count: Int) async throws {
    while comments < count, let block = try await nextBlock() {
      comments += block.split(separator: "\n").count { $0.hasPrefix(":") }
    }
  }

  /// Every event up to the stream's end.
  mutating func rest() async throws -> [SentEvent] {
    var events: [SentEvent] = []
    while let event = try await next() { events.append(event) }
    return events
  }

  private mutating func nextBlock() async throws -> String? {
    while true {
      if let end = buffer.range(of: "\n\n") {
        defer { buffer.removeSubrange(..<end.upperBound) }
        return String(buffer[..<end.lowerBound])
      }
      guard let bytes = try await body.next() else { return nil }
      buffer += String(buffer: bytes)
    }
  }
}

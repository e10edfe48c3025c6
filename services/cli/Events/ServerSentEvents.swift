/// One event of a stream, as the HTML standard defines it (section 9.2.6, "Interpreting an event stream").
struct ServerSentEvent: Sendable, Hashable {
  /// The last id the stream has given; empty if none.
  var id = ""
  /// `message` where the stream names none.
  var type = "message"
  var data = ""
}

/// Turns bytes of an event stream into events, however they are cut. Pure: it neither reads nor waits.
struct ServerSentEventParser {
  struct TooLong: Error, CustomStringConvertible {
    var description: String { "an event is larger than \(ServerSentEventParser.maximumEventBytes) bytes" }
  }

  /// Of one event's data, and of one line.
  static let maximumEventBytes = 1024 * 1024

  private var line: [UInt8] = []
  private var lastWasCarriageReturn = false
  private var isFirstLine = true
  private var id = ""
  /// The last id that an empty line has completed, whether or not an event came with it; empty if none.
  private(set) var lastID = ""
  private var type = ""
  private var data: [String] = []
  private var dataBytes = 0

  /// The events that these bytes complete. An event that the stream's end cuts short is never reported.
  mutating func consume(_ bytes: some Sequence<UInt8>) throws -> [ServerSentEvent] {
    var events: [ServerSentEvent] = []
    for byte in bytes {
      if byte == 0x0A, lastWasCarriageReturn {
        lastWasCarriageReturn = false
        continue
      }
      lastWasCarriageReturn = byte == 0x0D
      if byte == 0x0A || byte == 0x0D {
        if let event = endLine() { events.append(event) }
      } else {
        line.append(byte)
        if line.count + dataBytes > Self.maximumEventBytes { throw TooLong() }
      }
    }
    return events
  }

  private mutating func endLine() -> ServerSentEvent? {
    if isFirstLine {
      isFirstLine = false
      if line.starts(with: [0xEF, 0xBB, 0xBF]) { line.removeFirst(3) }
    }
    defer { line.removeAll(keepingCapacity: true) }
    guard !line.isEmpty else { return dispatch() }
    let colon = line.firstIndex(of: 0x3A) ?? line.endIndex
    var value = line[colon...].dropFirst()
    if value.first == 0x20 { value = value.dropFirst() }
    set(field: String(decoding: line[..<colon], as: UTF8.self), value: String(decoding: value, as: UTF8.self))
    return nil
  }

  /// A line that begins with a colon has an empty field name: a comment. `retry` is not heeded: we have our own pace.
  private mutating func set(field: String, value: String) {
    switch field {
    case "event": type = value
    case "data":
      data.append(value)
      dataBytes += value.utf8.count + 1
    case "id" where !value.utf8.contains(0): id = value
    default: break
    }
  }

  private mutating func dispatch() -> ServerSentEvent? {
    lastID = id
    defer {
      type = ""
      data.removeAll(keepingCapacity: true)
      dataBytes = 0
    }
    // Without data nothing is dispatched by the standard; `event: end` is let through because its name says it all.
    guard !data.isEmpty || !type.isEmpty else { return nil }
    return ServerSentEvent(id: id, type: type.isEmpty ? "message" : type, data: data.joined(separator: "\n"))
  }
}

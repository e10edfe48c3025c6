import NIOCore
import NIOWebSocket

/// Frames as a server sends them: final, unmasked (RFC 6455 §5.2). Made by hand so that one buffer serves any number of
/// connections; NIO's encoder would put a header in front of each.
enum SocketFrame {
  static func text(_ text: String) -> ByteBuffer {
    var frame = ByteBuffer()
    frame.writeFrameHeader(.text, length: text.utf8.count)
    frame.writeString(text)
    return frame
  }

  static func ping() -> ByteBuffer { control(.ping, ByteBuffer()) }

  static func pong(_ data: ByteBuffer) -> ByteBuffer { control(.pong, data) }

  /// - Parameter reason: at most 123 bytes.
  static func close(_ code: WebSocketErrorCode, _ reason: String) -> ByteBuffer {
    var data = ByteBuffer()
    data.write(webSocketErrorCode: code)
    data.writeString(reason)
    return control(.connectionClose, data)
  }

  /// - Parameter data: at most 125 bytes.
  static func control(_ opcode: WebSocketOpcode, _ data: ByteBuffer) -> ByteBuffer {
    var frame = ByteBuffer()
    frame.writeFrameHeader(opcode, length: data.readableBytes)
    frame.writeImmutableBuffer(data)
    return frame
  }
}

/// How a subscription's events look: `{"op":"event","id":"a","event":…}`, with the position where it is of all.
struct SocketEventForm: Sendable {
  private let head: String
  private let isOfAll: Bool

  /// - Parameter id: as the client named the subscription.
  init(id: String, isOfAll: Bool) {
    head = "{\"op\":\"event\",\"id\":\(jsonQuoted(id)),"
    self.isOfAll = isOfAll
  }

  /// One frame for each of `events`, one behind the other.
  func frames(_ events: [FeedEvent]) -> ByteBuffer {
    var buffer = ByteBuffer()
    buffer.reserveCapacity(events.reduce(0) { $0 + $1.json.readableBytes + head.utf8.count + 64 })
    for event in events {
      let middle = isOfAll ? "\"position\":\"\(event.number)\",\"event\":" : "\"event\":"
      buffer.writeFrameHeader(
        .text, length: head.utf8.count + middle.utf8.count + event.json.readableBytes + 1)
      buffer.writeString(head)
      buffer.writeString(middle)
      buffer.writeImmutableBuffer(event.json)
      buffer.writeInteger(UInt8(ascii: "}"))
    }
    return buffer
  }
}

extension ByteBuffer {
  fileprivate mutating func writeFrameHeader(_ opcode: WebSocketOpcode, length: Int) {
    writeInteger(0x80 | UInt8(webSocketOpcode: opcode))
    switch length {
    case ...125: writeInteger(UInt8(length))
    case ...Int(UInt16.max): writeMultipleIntegers(UInt8(126), UInt16(length))
    default: writeMultipleIntegers(UInt8(127), UInt64(length))
    }
  }
}

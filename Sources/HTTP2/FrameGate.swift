import NIOCore

/// Frames of one `receive`, counted by what they can be used to attack with.
package struct FrameCounts: Sendable, Equatable {
  package var pings = 0
  package var settings = 0
  /// RST_STREAM.
  package var resets = 0
  /// All other frames, HEADERS and DATA among them.
  package var others = 0
  /// What came of those that counts: header blocks that were taken (but for 1xx), and pieces of DATA, without padding.
  package var progress = 0

  package init() {}
}

/// Follows frame boundaries in the incoming bytes, without looking into frames, for two reasons.
///
/// nghttp2 1.52 counts CONTINUATION frames each time it is entered, so a header that arrives byte by byte is taken for
/// a flood: frame headers are held back until they are whole. And frames can be counted without a callback for each.
struct FrameGate {
  static let headerBytes = 9
  private(set) var counts = FrameCounts()
  /// A header block has begun, and the payload of its last frame is not complete.
  private(set) var isInsideHeaders = false
  /// This frame is the last of its header block.
  private var endsHeaders = false
  private var payloadLeft: Int
  private var held: [UInt8] = []

  /// - Parameter prefaceBytes: Bytes before the first frame: 24 for a server.
  init(prefaceBytes: Int) { payloadLeft = prefaceBytes }

  mutating func noteProgress() { counts.progress += 1 }

  mutating func takeCounts() -> FrameCounts {
    defer { counts = FrameCounts() }
    return counts
  }

  /// Completes a frame header held back from earlier bytes. Nil when there is none, or when it is still not whole.
  mutating func completeHeld(from bytes: inout ByteBuffer) -> ByteBuffer? {
    guard !held.isEmpty else { return nil }
    let part = bytes.readBytes(length: min(Self.headerBytes - held.count, bytes.readableBytes)) ?? []
    held += part
    guard held.count == Self.headerBytes else { return nil }
    let header = ByteBuffer(bytes: held)
    held = []
    begin(header.readableBytesView, at: header.readerIndex)
    return header
  }

  /// How many bytes can be handed over; those of a cut frame header behind them are kept.
  mutating func admit(_ bytes: ByteBuffer) -> Int {
    let view = bytes.readableBytesView
    var position = view.startIndex
    while position < view.endIndex {
      if payloadLeft > 0 {
        let skipped = min(payloadLeft, view.endIndex - position)
        payloadLeft -= skipped
        position += skipped
        payloadMoved()
      } else if view.endIndex - position < Self.headerBytes {
        held = Array(view[position...])
        break
      } else {
        begin(view, at: position)
        position += Self.headerBytes
      }
    }
    return position - view.startIndex
  }

  private mutating func begin(_ bytes: ByteBufferView, at start: Int) {
    let length = Int(bytes[start]) << 16 | Int(bytes[start + 1]) << 8 | Int(bytes[start + 2])
    let flags = bytes[start + 4]
    payloadLeft = length
    defer { payloadMoved() }
    switch bytes[start + 3] {
    case 3: counts.resets += 1
    case 4 where flags & 0x1 == 0: counts.settings += 1
    case 6 where flags & 0x1 == 0: counts.pings += 1
    case 1:  // HEADERS; 0x4 is END_HEADERS
      counts.others += 1
      isInsideHeaders = true
      endsHeaders = flags & 0x4 != 0
    case 9:  // CONTINUATION
      counts.others += 1
      endsHeaders = flags & 0x4 != 0
    default: counts.others += 1  // answers to PING and SETTINGS too: nghttp2 takes those that nobody asked for
    }
  }

  private mutating func payloadMoved() {
    guard endsHeaders, payloadLeft == 0 else { return }
    endsHeaders = false
    isInsideHeaders = false
  }
}

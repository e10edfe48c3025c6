package import NIOCore

/// Buffers first in, first out. The first one needs no allocation: most streams only ever carry one.
struct BufferQueue {
  private var first: ByteBuffer?
  private var rest: [ByteBuffer] = []
  private var head = 0

  mutating func append(_ buffer: ByteBuffer) {
    if first == nil { first = buffer } else { rest.append(buffer) }
  }

  mutating func popFirst() -> ByteBuffer? {
    guard let result = first else { return nil }
    if head < rest.count {
      first = rest[head]
      rest[head] = ByteBuffer()
      head += 1
      if head == rest.count || head > 64 {
        rest.removeFirst(head)
        head = 0
      }
    } else {
      first = nil
    }
    return result
  }

  mutating func removeAll() { self = BufferQueue() }

  /// Moves so many bytes, which must be there, from the front to the end of `target`.
  mutating func move(_ count: Int, to target: inout ByteBuffer) {
    var left = count
    while left > 0, first != nil {
      let part = min(left, first!.readableBytes)
      first!.withUnsafeReadableBytes { _ = target.writeBytes(UnsafeRawBufferPointer(rebasing: $0.prefix(part))) }
      first!.moveReaderIndex(forwardBy: part)
      left -= part
      if first!.readableBytes == 0 { _ = popFirst() }
    }
  }
}

/// The body that is waiting to go out on one stream, filled by the stream's owner and drained by the session as the
/// peer's windows allow. Belongs to the session's event loop.
package final class StreamOutput {
  @exclusivity(unchecked) private var queue = BufferQueue()
  /// Bytes appended and not yet framed.
  @exclusivity(unchecked) package private(set) var bufferedBytes = 0
  @exclusivity(unchecked) private var unreported = 0
  /// When the buffered bytes fall to this, the session reports `.writable` once and clears it.
  @exclusivity(unchecked) package var drainMark: Int?
  @exclusivity(unchecked) package private(set) var isEnded = false
  @exclusivity(unchecked) private(set) var trailers: HeaderBlock?
  /// nghttp2 found nothing to send and waits to be told that there is more.
  @exclusivity(unchecked) var isDeferred = false

  package init() {}

  package func append(_ buffer: ByteBuffer) {
    guard !isEnded, buffer.readableBytes > 0 else { return }
    bufferedBytes += buffer.readableBytes
    unreported += buffer.readableBytes
    queue.append(buffer)
  }

  /// Nothing more follows but these trailers.
  package func end(trailers: HeaderBlock? = nil) {
    guard !isEnded else { return }
    isEnded = true
    self.trailers = trailers
  }

  /// Drops what has not been framed yet, so that an error's trailers need not wait behind it.
  package func discard() {
    queue.removeAll()
    bufferedBytes = 0
  }

  /// Bytes appended since the last call.
  package func takeAppended() -> Int {
    defer { unreported = 0 }
    return unreported
  }

  /// - Parameter count: At most `bufferedBytes`.
  func move(_ count: Int, to target: inout ByteBuffer) {
    queue.move(count, to: &target)
    bufferedBytes -= count
  }

  /// Whether the owner asked to hear of this level; asks once.
  func takeDrained() -> Bool {
    guard let mark = drainMark, bufferedBytes <= mark else { return false }
    drainMark = nil
    return true
  }
}

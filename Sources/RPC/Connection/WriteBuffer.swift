import NIOCore
import NIOPosix

/// Memory for one write after another, shared by the connections of a thread, which write in turns.
///
/// Memory of this size goes back to the system each time it is freed, and getting it again, page by page, costs more
/// than filling it. A buffer for each connection would keep that much for those that have nothing to say.
///
/// `@unchecked Sendable`: only touched on its thread, as its connections are.
final class WriteBuffer: @unchecked Sendable {
  /// Bytes taken from a session for one write; with the frame that goes beyond it, which may have 16 KiB and its
  /// header, it does not outgrow 256 KiB.
  static let limit = 256 * 1024 - 17 * 1024
  private static let capacity = 256 * 1024
  private static let ofThread = ThreadSpecificVariable<WriteBuffer>()

  @exclusivity(unchecked) private var spare: ByteBuffer?

  /// That of the loop's thread, where the loop has one and this is it; else one of its own.
  static func of(_ loop: any EventLoop) -> WriteBuffer {
    guard MultiThreadedEventLoopGroup.currentEventLoop === loop else { return WriteBuffer() }
    if let shared = ofThread.currentValue { return shared }
    let shared = WriteBuffer()
    ofThread.currentValue = shared
    return shared
  }

  /// Has `fill` append what there is to write, until the buffer holds `limit` bytes, and returns it.
  ///
  /// A little is copied into a buffer of its size: while a peer does not read, writes wait, and none of them is to keep
  /// much more memory than it needs.
  func filled(_ allocator: ByteBufferAllocator, _ fill: (inout ByteBuffer) -> Void) -> ByteBuffer {
    var buffer = spare ?? allocator.buffer(capacity: Self.capacity)
    spare = nil
    fill(&buffer)
    guard buffer.readableBytes < Self.capacity / 4 else { return buffer }
    var copy = allocator.buffer(capacity: buffer.readableBytes)
    copy.writeImmutableBuffer(buffer)
    buffer.clear()
    spare = buffer
    return copy
  }

  /// Takes a buffer back, unless it still waits to be written.
  func giveBack(_ buffer: consuming ByteBuffer) {
    guard spare == nil else { return }
    let isFree: Void? = buffer.modifyIfUniquelyOwned { $0.clear() }
    if isFree != nil { spare = buffer }
  }
}

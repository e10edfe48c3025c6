import Glibc

/// Puts the fields of one header block after another together, as nghttp2 lends them, in memory that it keeps: a block
/// then takes a single allocation of just its size.
struct HeaderCollector: ~Copyable {
  /// Kept between blocks; more is given back.
  private static let keptBytes = 1024

  private var memory: UnsafeMutableRawPointer?
  private var capacity = 0
  private var length = 0
  private(set) var count = 0

  deinit { free(memory) }

  mutating func clear() { (length, count) = (0, 0) }

  mutating func append(name: UnsafeBufferPointer<UInt8>, value: UnsafeBufferPointer<UInt8>) {
    let needed = length + HeaderBlock.prefixBytes + name.count + value.count
    let field = room(needed) + length
    field.storeBytes(of: UInt16(truncatingIfNeeded: name.count), as: UInt16.self)
    field.storeBytes(of: UInt32(truncatingIfNeeded: value.count), toByteOffset: 2, as: UInt32.self)
    let text = field + HeaderBlock.prefixBytes
    // An empty value may have no address.
    if let start = name.baseAddress { memcpy(text, start, name.count) }
    if let start = value.baseAddress { memcpy(text + name.count, start, value.count) }
    length = needed
    count += 1
  }

  /// What was appended since `clear`.
  mutating func takeBlock() -> HeaderBlock {
    let block = HeaderBlock(bytes: UnsafeRawBufferPointer(start: memory, count: length), count: count)
    clear()
    if capacity > Self.keptBytes {
      free(memory)
      (memory, capacity) = (nil, 0)
    }
    return block
  }

  private mutating func room(_ needed: Int) -> UnsafeMutableRawPointer {
    if let memory, needed <= capacity { return memory }
    capacity = max(512, 2 * needed)
    guard let grown = realloc(memory, capacity) else { fatalError("no memory for \(capacity) bytes of headers") }
    memory = grown
    return grown
  }
}

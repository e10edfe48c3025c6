import CProtobufC
import Glibc
import Synchronization

/// Memory for protobuf-c's structs: taken piece by piece, given back all at once.
///
/// The first kilobyte is on the stack, which is all that a small message needs; then come chunks from malloc. The last
/// large one is kept for the next large message, of whatever thread: malloc would give such memory back to the system
/// each time, and to get it again, page by page, takes longer than decoding.
/// A budget bounds the sum, so that a short hostile message cannot make protobuf-c allocate a lot.
struct Arena: ~Copyable {
  private static let stackBytes = 1024
  private static let smallestChunk = 4096
  /// In front of each chunk: the address of the one before, and its own size.
  private static let headerBytes = 16
  /// Sizes of chunks that are kept.
  private static let keptBytes = 64 << 10...2 << 20
  /// The address of the chunk that is kept; 0 for none.
  private static let kept = Atomic<UInt>(0)

  private var next: UnsafeMutableRawPointer
  private var end: UnsafeMutableRawPointer
  /// The newest chunk.
  private var chunks: UnsafeMutableRawPointer?
  private var chunkBytes = Arena.smallestChunk
  private var budget: Int
  private var isExhausted = false

  private init(_ stack: UnsafeMutableRawBufferPointer, budget: Int) {
    // The temporary allocation is never empty, so it has an address.
    next = stack.baseAddress.unsafelyUnwrapped
    end = next + stack.count
    self.budget = budget
  }

  deinit {
    var chunk = chunks
    while let current = chunk {
      chunk = current.load(as: UnsafeMutableRawPointer?.self)
      Self.release(current)
    }
  }

  /// Runs `body` with an empty arena of at most `budget` bytes. No pointer into it may outlive the call.
  @inline(__always)
  static func with<Result>(budget: Int, _ body: (inout Arena) throws -> Result) throws -> Result {
    try withUnsafeTemporaryAllocation(byteCount: stackBytes, alignment: 16) { stack in
      var arena = Arena(stack, budget: budget)
      return try body(&arena)
    }
  }

  /// Uninitialized memory, aligned for every type protobuf-c has. Nil when the budget, or the machine's memory, is
  /// used up.
  mutating func allocate(_ bytes: Int) -> UnsafeMutableRawPointer? {
    let size = (max(bytes, 1) + 7) & ~7
    guard bytes >= 0, size <= budget else {
      isExhausted = true
      return nil
    }
    budget -= size
    if next + size > end {
      guard grow(size) else {
        isExhausted = true
        return nil
      }
    }
    defer { next += size }
    return next
  }

  private mutating func grow(_ size: Int) -> Bool {
    let wanted = max(chunkBytes, size + Self.headerBytes)
    guard let (chunk, capacity) = Self.chunk(wanted) else { return false }
    chunk.storeBytes(of: chunks, as: UnsafeMutableRawPointer?.self)
    chunk.storeBytes(of: capacity, toByteOffset: 8, as: Int.self)
    chunks = chunk
    next = chunk + Self.headerBytes
    end = chunk + capacity
    chunkBytes = min(chunkBytes * 2, 256 << 10)
    return true
  }

  /// At least so many bytes, and how many they are.
  private static func chunk(_ bytes: Int) -> (UnsafeMutableRawPointer, Int)? {
    // Whoever takes the address out owns the chunk.
    let address = keptBytes.contains(bytes) ? kept.exchange(0, ordering: .acquiring) : 0
    if let chunk = UnsafeMutableRawPointer(bitPattern: address) {
      let capacity = chunk.load(fromByteOffset: 8, as: Int.self)
      if capacity >= bytes { return (chunk, capacity) }
      free(chunk)
    }
    return malloc(bytes).map { ($0, bytes) }
  }

  private static func release(_ chunk: UnsafeMutableRawPointer) {
    guard keptBytes.contains(chunk.load(fromByteOffset: 8, as: Int.self)) else { return free(chunk) }
    free(UnsafeMutableRawPointer(bitPattern: kept.exchange(UInt(bitPattern: chunk), ordering: .acquiringAndReleasing)))
  }

  func exhausted(_ what: String) -> WireError {
    WireError(.overBudget, "\(what) needs more memory than its size allows for")
  }

  /// Memory for a message, set to its defaults. Throws WireError.
  mutating func prepared(
    _ descriptor: UnsafePointer<ProtobufCMessageDescriptor>
  ) throws -> UnsafeMutableRawPointer {
    let c = try bytes(count: descriptor.pointee.sizeof_message)
    descriptor.pointee.message_init(c.assumingMemoryBound(to: ProtobufCMessage.self))
    return c
  }

  mutating func bytes(count: Int) throws -> UnsafeMutableRawPointer {
    guard let memory = allocate(count) else { throw exhausted("The message") }
    return memory
  }

  // MARK: - Decoding

  /// Unpacks bytes that WireScan has passed. The result lives in the arena. Throws WireError.
  mutating func unpack(
    _ bytes: UnsafeRawBufferPointer, as descriptor: UnsafePointer<ProtobufCMessageDescriptor>
  ) throws -> UnsafeMutablePointer<ProtobufCMessage> {
    let message = withUnsafeMutablePointer(to: &self) { arena in
      var allocator = ProtobufCAllocator(
        alloc: { arena, size in arena?.assumingMemoryBound(to: Arena.self).pointee.allocate(size) },
        free: { _, _ in }, allocator_data: arena)
      return protobuf_c_message_unpack(
        descriptor, &allocator, bytes.count, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self))
    }
    if let message { return message }
    let name = String(cString: descriptor.pointee.name)
    if isExhausted { throw exhausted(name) }
    throw WireError(.malformed, "\(name): malformed content")
  }
}

// MARK: - Encoding

extension Arena {
  private mutating func memory<T>(_ type: T.Type, _ count: Int) throws -> UnsafeMutablePointer<T> {
    try bytes(count: MemoryLayout<T>.stride * count).bindMemory(to: T.self, capacity: count)
  }

  mutating func message<M: NativeMessage>(_ message: M) throws -> UnsafeMutablePointer<M.C> {
    let c = try memory(M.C.self, 1)
    M.prepare(c)
    try message.fill(c, &self)
    return c
  }

  /// A NUL-terminated copy. Throws WireError for a string that has a NUL inside.
  mutating func string(_ string: String) throws -> UnsafeMutablePointer<CChar> {
    var string = string
    return try string.withUTF8 { utf8 in
      let copy = try memory(CChar.self, utf8.count + 1)
      if let start = utf8.baseAddress {
        guard memchr(start, 0, utf8.count) == nil else {
          throw WireError(.embeddedNUL, "A string holds a NUL character, which messages cannot carry")
        }
        memcpy(copy, start, utf8.count)
      }
      copy[utf8.count] = 0
      return copy
    }
  }

  mutating func bytes(_ bytes: [UInt8]) throws -> ProtobufCBinaryData {
    let copy = try memory(UInt8.self, bytes.count)
    bytes.withUnsafeBufferPointer { if let start = $0.baseAddress { memcpy(copy, start, $0.count) } }
    return ProtobufCBinaryData(len: bytes.count, data: copy)
  }

  /// A message's binary form, for the content of an Any.
  mutating func packed(_ message: UnsafeMutableRawPointer) throws -> ProtobufCBinaryData {
    let c = message.assumingMemoryBound(to: ProtobufCMessage.self)
    let copy = try memory(UInt8.self, protobuf_c_message_get_packed_size(c))
    return ProtobufCBinaryData(len: protobuf_c_message_pack(c, copy), data: copy)
  }

  mutating func list<T>(_ values: [T]) throws -> (Int, UnsafeMutablePointer<T>?) {
    try list(values) { $0 }
  }

  mutating func list<T, U>(_ values: [T], _ transform: (T) -> U) throws -> (Int, UnsafeMutablePointer<U>?) {
    guard !values.isEmpty else { return (0, nil) }
    let copy = try memory(U.self, values.count)
    for index in values.indices { (copy + index).initialize(to: transform(values[index])) }
    return (values.count, copy)
  }

  private mutating func list<T, U>(
    _ values: [T], each: (T, inout Arena) throws -> U
  ) throws -> (Int, UnsafeMutablePointer<U>?) {
    guard !values.isEmpty else { return (0, nil) }
    let copy = try memory(U.self, values.count)
    for index in values.indices { (copy + index).initialize(to: try each(values[index], &self)) }
    return (values.count, copy)
  }

  mutating func strings(
    _ values: [String]
  ) throws -> (Int, UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?) {
    try list(values) { try $1.string($0) }
  }

  mutating func byteStrings(_ values: [[UInt8]]) throws -> (Int, UnsafeMutablePointer<ProtobufCBinaryData>?) {
    try list(values) { try $1.bytes($0) }
  }

  mutating func messages<M: NativeMessage>(
    _ values: [M]
  ) throws -> (Int, UnsafeMutablePointer<UnsafeMutablePointer<M.C>?>?) {
    try list(values) { try $1.message($0) }
  }

  /// A map is a list of entry messages on the wire; sorted by key, so that equal maps give equal bytes.
  mutating func map<Key: MapKey, Value, Entry>(
    _ values: [Key: Value], _ prepare: (UnsafeMutablePointer<Entry>?) -> Void,
    _ fill: (UnsafeMutablePointer<Entry>, Key, Value, inout Arena) throws -> Void
  ) throws -> (Int, UnsafeMutablePointer<UnsafeMutablePointer<Entry>?>?) {
    guard !values.isEmpty else { return (0, nil) }
    return try list(values.sorted { Key.precedes($0.key, $1.key) }) { pair, arena in
      let entry = try arena.memory(Entry.self, 1)
      prepare(entry)
      try fill(entry, pair.key, pair.value, &arena)
      return entry
    }
  }
}

/// The types a map's key can have, with an order. (`Bool` has none of its own.)
protocol MapKey: Hashable {
  static func precedes(_ first: Self, _ second: Self) -> Bool
}

extension MapKey where Self: Comparable {
  static func precedes(_ first: Self, _ second: Self) -> Bool { first < second }
}

extension String: MapKey {}
extension Int32: MapKey {}
extension Int64: MapKey {}
extension UInt32: MapKey {}
extension UInt64: MapKey {}
extension Bool: MapKey {
  static func precedes(_ first: Bool, _ second: Bool) -> Bool { !first && second }
}

import CZlib
import NIOCore

/// What zlib needs to be told about gzip: the largest window, and 16 for gzip's header and checksum around it.
private let gzipWindowBits: Int32 = 15 + 16

/// Compresses with zlib's default level.
///
/// Owns its `z_stream`, which must not move (zlib points back to it): allocated in `init`, ended and freed in `deinit`.
/// `@unchecked Sendable`: not safe to share, but to hand over; the pool gives it to one thread at a time.
final class Deflater: @unchecked Sendable {
  private let stream: UnsafeMutablePointer<z_stream>

  /// Nil without memory. `deflateInit2`: Z_OK, Z_MEM_ERROR; Z_STREAM_ERROR and Z_VERSION_ERROR for a zlib that is not
  /// the one of the header.
  init?() {
    stream = .allocate(capacity: 1)
    stream.initialize(to: z_stream())
    let code = deflateInit2_(
      stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, gzipWindowBits, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
      Int32(MemoryLayout<z_stream>.size))
    guard code == Z_OK else {
      stream.deallocate()  // a failed init has kept nothing
      return nil
    }
  }

  deinit {
    // Z_OK, or Z_DATA_ERROR when output was left: everything is freed all the same. Z_STREAM_ERROR: there was nothing.
    _ = deflateEnd(stream)
    stream.deallocate()
  }

  /// Appends a gzip member.
  /// - Parameter room: In bytes; nil for whatever it takes.
  /// - Returns: False if it takes more than `room`; what `output` holds then is of no use.
  func compress(_ input: ByteBuffer, into output: inout ByteBuffer, room: Int?) -> Bool {
    // Z_OK, or Z_STREAM_ERROR for a state that is not one.
    guard input.readableBytes <= UInt32.max, deflateReset(stream) == Z_OK else { return false }
    // Never fails. Only right after a reset: the end of a member leaves the state without a wrapper to count.
    let room = room ?? Int(deflateBound(stream, UInt(input.readableBytes)))
    guard room <= UInt32.max else { return false }
    var isWhole = false
    input.withUnsafeReadableBytes { source in
      stream.pointee.next_in = UnsafeMutableRawPointer(mutating: source.baseAddress)?
        .assumingMemoryBound(to: UInt8.self)
      stream.pointee.avail_in = UInt32(source.count)
      output.writeWithUnsafeMutableBytes(minimumWritableBytes: room) { target in
        stream.pointee.next_out = target.baseAddress?.assumingMemoryBound(to: UInt8.self)
        stream.pointee.avail_out = UInt32(room)
        // With Z_FINISH: Z_STREAM_END when all is done; Z_OK or Z_BUF_ERROR without room; Z_STREAM_ERROR for nil
        // pointers, or a state that is not one.
        isWhole = deflate(stream, Z_FINISH) == Z_STREAM_END
        return room - Int(stream.pointee.avail_out)
      }
    }
    forget()
    return isWhole
  }

  private func forget() {
    stream.pointee.next_in = nil
    stream.pointee.next_out = nil
  }
}

/// Unpacks one gzip member. Ownership and sendability as of `Deflater`.
final class Inflater: @unchecked Sendable {
  enum Failure: Error, Hashable {
    case tooLong, noMemory, corrupt, truncated, trailing
  }

  /// Output grows by at least this and at most by what is there, in bytes.
  private static let chunk = 16 * 1024
  /// Deflate makes 258 bytes of two bits at best.
  private static let greatestRatio = 1_032

  private let stream: UnsafeMutablePointer<z_stream>

  /// Nil without memory. `inflateInit2`: Z_OK, Z_MEM_ERROR, Z_STREAM_ERROR, Z_VERSION_ERROR (see `Deflater`).
  init?() {
    stream = .allocate(capacity: 1)
    stream.initialize(to: z_stream())
    guard inflateInit2_(stream, gzipWindowBits, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
      stream.deallocate()
      return nil
    }
  }

  deinit {
    _ = inflateEnd(stream)  // Z_OK; Z_STREAM_ERROR: there was nothing to free
    stream.deallocate()
  }

  /// The one member that `input` is.
  /// - Parameter limit: Of the output, in bytes. What is longer costs no more than that.
  func decompress(_ input: ByteBuffer, limit: Int) -> Result<ByteBuffer, Failure> {
    // Z_OK, or Z_STREAM_ERROR for a state that is not one.
    guard input.readableBytes <= UInt32.max, inflateReset(stream) == Z_OK else { return .failure(.corrupt) }
    defer {
      stream.pointee.next_in = nil
      stream.pointee.next_out = nil
    }
    let likely = min(Self.announcedBytes(input), limit, input.readableBytes * Self.greatestRatio)
    var output = ByteBufferAllocator().buffer(capacity: likely)
    let failure = input.withUnsafeReadableBytes { source -> Failure? in
      stream.pointee.next_in = UnsafeMutableRawPointer(mutating: source.baseAddress)?
        .assumingMemoryBound(to: UInt8.self)
      stream.pointee.avail_in = UInt32(source.count)
      while true {
        let room = min(limit - output.readableBytes, max(output.writableBytes, output.readableBytes, Self.chunk))
        let code = room > 0 ? step(into: &output, room: min(room, Int(UInt32.max))) : stepBeyond()
        switch judge(code, isBeyond: room == 0) {
        case .more: continue
        case .done: return nil
        case .failed(let failure): return failure
        }
      }
    }
    return failure.map { .failure($0) } ?? .success(output)
  }

  private enum Progress {
    case more, done
    case failed(Failure)
  }

  private func judge(_ code: Int32, isBeyond: Bool) -> Progress {
    let isFull = stream.pointee.avail_out == 0
    switch code {
    case Z_STREAM_END:  // the member is whole, its checksum and length are right
      if isBeyond, isFull { return .failed(.tooLong) }
      return stream.pointee.avail_in == 0 ? .done : .failed(.trailing)
    case Z_OK, Z_BUF_ERROR:  // some progress, or none for want of input or room
      guard isFull else { return .failed(.truncated) }
      return isBeyond ? .failed(.tooLong) : .more
    case Z_MEM_ERROR: return .failed(.noMemory)
    default: return .failed(.corrupt)  // Z_DATA_ERROR, Z_NEED_DICT (gzip has none), Z_STREAM_ERROR
    }
  }

  private func step(into output: inout ByteBuffer, room: Int) -> Int32 {
    var code = Z_OK
    output.writeWithUnsafeMutableBytes(minimumWritableBytes: room) { target in
      stream.pointee.next_out = target.baseAddress?.assumingMemoryBound(to: UInt8.self)
      stream.pointee.avail_out = UInt32(room)
      code = inflate(stream, Z_NO_FLUSH)
      return room - Int(stream.pointee.avail_out)
    }
    return code
  }

  /// The limit is reached: only the member's end may follow, or this one byte too many.
  private func stepBeyond() -> Int32 {
    var byte: UInt8 = 0
    return withUnsafeMutablePointer(to: &byte) { target in
      stream.pointee.next_out = target
      stream.pointee.avail_out = 1
      return inflate(stream, Z_NO_FLUSH)
    }
  }

  /// The member's last four bytes: how long it says the output is (RFC 1952 §2.3.1). Only believed as far as memory
  /// goes; zlib compares it with what came out.
  private static func announcedBytes(_ input: ByteBuffer) -> Int {
    guard input.readableBytes >= 18 else { return 0 }
    return Int(input.getInteger(at: input.writerIndex - 4, endianness: .little, as: UInt32.self) ?? 0)
  }
}

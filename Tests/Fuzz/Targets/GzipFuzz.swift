import NIOCore

@testable import RPC

/// Decompresses what may be gzip, and compresses what it was: neither may give more than the limit, or another text.
func fuzzGzip(_ input: Bytes) throws {
  var input = input
  let limit = input.number()
  let bytes = ByteBuffer(bytes: input.takeRest())
  if let text = try? Gzip.decompress(bytes, limit: limit) {
    try require(text.readableBytes <= limit, "\(text.readableBytes) bytes came out over the limit of \(limit)")
  }
  var frame = ByteBuffer(repeating: 0, count: Framing.prefixBytes)
  frame.writeImmutableBuffer(bytes)
  guard var packed = Gzip.compress(frame: frame, isForced: true) else { throw Broken(description: "not compressed") }
  packed.moveReaderIndex(forwardBy: Framing.prefixBytes)
  let again = try Gzip.decompress(packed, limit: bytes.readableBytes)
  try require(again == bytes, "a message changes when it is compressed and decompressed")
}

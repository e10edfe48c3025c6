/// What a fuzzer feeds: takes any bytes and must neither crash nor break an invariant, which it reports by throwing.
///
/// `make fuzz` feeds each from its corpus in `Tests/Fuzz/corpus/<name>`; `make test` feeds it the corpus as it is.
public enum FuzzTarget: String, CaseIterable, Sendable {
  /// WireScan, protobuf-c's unpack, and back.
  case wire
  /// ProtoJSON in, and back.
  case json
  /// Frames and HPACK into a session, server's or client's, with an owner that answers.
  case session
  /// gRPC's message framing, in chunks.
  case framing
  /// Compressed messages.
  case gzip
  /// Request and response headers, and the codings inside them.
  case metadata

  public func run(_ input: [UInt8]) throws {
    switch self {
    case .wire: try fuzzWire(Bytes(input))
    case .json: try fuzzJSON(Bytes(input))
    case .session: try fuzzSession(Bytes(input))
    case .framing: try fuzzFraming(Bytes(input))
    case .gzip: try fuzzGzip(Bytes(input))
    case .metadata: try fuzzMetadata(Bytes(input))
    }
  }
}

/// An invariant that does not hold.
public struct Broken: Error, CustomStringConvertible {
  public let description: String
}

func require(_ condition: Bool, _ what: @autoclosure () -> String) throws {
  if !condition { throw Broken(description: what()) }
}

/// Input that is used up from its front: what steers a run comes first, what is fed comes last.
struct Bytes {
  private(set) var rest: ArraySlice<UInt8>

  init(_ input: [UInt8]) { rest = input[...] }

  var isEmpty: Bool { rest.isEmpty }

  /// 0 at the end.
  mutating func byte() -> UInt8 { rest.popFirst() ?? 0 }

  mutating func number() -> Int { Int(byte()) << 8 | Int(byte()) }

  mutating func take(_ count: Int) -> [UInt8] {
    defer { rest = rest.dropFirst(count) }
    return Array(rest.prefix(count))
  }

  mutating func takeRest() -> [UInt8] { take(rest.count) }

  /// Runs of bytes with their lengths in front.
  mutating func text(atMost limit: Int) -> String { String(decoding: take(Int(byte()) % (limit + 1)), as: UTF8.self) }
}

public import NIOCore

/// A protobuf message as a plain Swift value. Generated structs conform; nothing else is meant to.
///
/// Fields that a message's .proto file does not have are dropped on decoding, so they are not passed on.
public protocol ProtobufMessage: Sendable, Hashable {
  /// Every field at its default.
  init()

  /// Decodes the binary form. Throws WireError, and touches nothing beyond the readable bytes.
  init(wire: ByteBuffer, limits: WireLimits) throws

  /// Appends the binary form. The same value always gives the same bytes (maps are sorted by key).
  ///
  /// Throws WireError for a string with a NUL character, which protobuf-c would cut off there, and for a message over
  /// `WireLimits.maximumEncodedBytes`; the buffer is unchanged then.
  func encode(into buffer: inout ByteBuffer) throws

  /// The full name in the .proto file, for example "buddy.mission.v1.Mission".
  static var messageName: String { get }
}

extension ProtobufMessage {
  /// Decodes the binary form within the default limits. Throws WireError.
  public init(wire: ByteBuffer) throws { try self.init(wire: wire, limits: .default) }
}

/// How much a peer's message may ask for. All of it is checked before or while memory is taken.
public struct WireLimits: Sendable, Hashable {
  public static let `default` = WireLimits()

  /// Largest message that is encoded, in bytes.
  public static let maximumEncodedBytes = 64 << 20

  /// Largest message that is decoded, in bytes.
  public var bytes: Int
  /// Messages inside each other, the outermost counted: protobuf-c recurses once for each.
  public var depth: Int
  /// Fields in the whole message, those of inner messages counted.
  public var fields: Int
  /// Bytes of fields that the .proto file does not have, in the whole message.
  public var unknownBytes: Int
  /// Memory for protobuf-c's structs: `memoryFactor` × wire size + `memoryBase`, in bytes.
  public var memoryFactor: Int
  public var memoryBase: Int

  public init(
    bytes: Int = 64 << 20, depth: Int = 32, fields: Int = 100_000, unknownBytes: Int = 64 << 10,
    memoryFactor: Int = 16, memoryBase: Int = 64 << 10
  ) {
    self.bytes = bytes
    self.depth = depth
    self.fields = fields
    self.unknownBytes = unknownBytes
    self.memoryFactor = memoryFactor
    self.memoryBase = memoryBase
  }
}

/// Why a message could not be decoded or encoded.
public struct WireError: Error, Sendable, Hashable, CustomStringConvertible {
  public enum Kind: String, Sendable, Hashable, CaseIterable {
    /// Not the binary form of this message.
    case malformed
    case tooDeep
    case tooManyFields
    case tooManyUnknownBytes
    case invalidUTF8
    case embeddedNUL
    case tooLarge
    /// It would have taken more memory than its size allows for.
    case overBudget
  }

  public var kind: Kind
  /// One sentence that names the message and field.
  public var message: String

  public init(_ kind: Kind, _ message: String) {
    self.kind = kind
    self.message = message
  }

  public var description: String { message }
}

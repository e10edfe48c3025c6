import Messages
import NIOCore
import TestSupport

extension ProtobufMessage {
  func wire() throws -> ByteBuffer {
    var buffer = ByteBuffer()
    try encode(into: &buffer)
    return buffer
  }
}

/// Writes the binary form by hand, well formed or not.
struct WireBuilder {
  var bytes: [UInt8] = []

  mutating func varint(_ value: UInt64) {
    var value = value
    while value >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: value) | 0x80)
      value >>= 7
    }
    bytes.append(UInt8(value))
  }

  mutating func tag(_ field: UInt64, _ wireType: UInt64) { varint(field << 3 | wireType) }

  mutating func field(_ number: UInt64, _ content: [UInt8]) {
    tag(number, 2)
    varint(UInt64(content.count))
    bytes += content
  }

  static func build(_ body: (inout WireBuilder) -> Void) -> ByteBuffer {
    var builder = WireBuilder()
    body(&builder)
    return ByteBuffer(bytes: builder.bytes)
  }
}

/// Random values of every kind, extremes among them.
struct RandomMessages {
  var generator: SeededRandom

  mutating func integer<T: FixedWidthInteger>(_ type: T.Type) -> T {
    switch Int.random(in: 0..<6, using: &generator) {
    case 0: .min
    case 1: .max
    case 2: 0
    case 3: T.random(in: .min ... .max, using: &generator)
    default: T(UInt8.random(in: 1...100, using: &generator))
    }
  }

  /// Never -0.0, which protobuf-c leaves out, nor NaN, which equals nothing.
  mutating func double() -> Double {
    let special: [Double] = [0, 1, -1.5, .infinity, -.infinity, .leastNonzeroMagnitude, .greatestFiniteMagnitude, 0.1]
    if Bool.random(using: &generator) { return special.randomElement(using: &generator) ?? 0 }
    let value = Double(bitPattern: UInt64.random(in: 0 ... .max, using: &generator))
    return value.isNaN ? 0.3 : value
  }

  mutating func float() -> Float {
    let special: [Float] = [0, 1, -1.5, .infinity, -.infinity, .leastNonzeroMagnitude, .greatestFiniteMagnitude, 0.1]
    if Bool.random(using: &generator) { return special.randomElement(using: &generator) ?? 0 }
    let value = Float(bitPattern: UInt32.random(in: 0 ... .max, using: &generator))
    return value.isNaN ? 0.3 : value
  }

  mutating func string() -> String {
    var text = String.UnicodeScalarView()
    for _ in 0..<Int.random(in: 0...20, using: &generator) {
      let limit: UInt32 = [0x7F, 0x7FF, 0xFFFF, 0x10FFFF].randomElement(using: &generator) ?? 0x7F
      text.append(Unicode.Scalar(UInt32.random(in: 1...limit, using: &generator)) ?? "x")
    }
    return String(text)
  }

  mutating func bytes() -> [UInt8] {
    (0..<Int.random(in: 0...20, using: &generator)).map { _ in UInt8.random(in: 0 ... .max, using: &generator) }
  }

  mutating func color() -> Color {
    let colors: [Color] = [.unspecified, .red, .green, .belowZero, .unrecognized(77)]
    return colors.randomElement(using: &generator) ?? .red
  }

  mutating func leaf() -> Leaf { Leaf(name: string(), number: integer(Int32.self)) }

  mutating func list<T>(_ element: (inout RandomMessages) -> T) -> [T] {
    (0..<Int.random(in: 0...5, using: &generator)).map { _ in element(&self) }
  }

  mutating func map<K: Hashable, V>(
    _ key: (inout RandomMessages) -> K, _ value: (inout RandomMessages) -> V
  ) -> [K: V] {
    Dictionary(list { (key(&$0), value(&$0)) }, uniquingKeysWith: { $1 })
  }

  mutating func maybe<T>(_ value: (inout RandomMessages) -> T) -> T? {
    Bool.random(using: &generator) ? value(&self) : nil
  }

  mutating func choice() -> EveryField.Choice? {
    switch Int.random(in: 0..<8, using: &generator) {
    case 0: .choiceText(string())
    case 1: .choiceNumber(integer(Int64.self))
    case 2: .choiceLeaf(leaf())
    case 3: .choiceBytes(bytes())
    case 4: .choiceColor(color())
    case 5: .choiceFlag(Bool.random(using: &generator))
    case 6: .choiceDouble(double())
    default: nil
    }
  }

  mutating func everyField() -> EveryField {
    var message = EveryField(
      doubleValue: double(), floatValue: float(), int32Value: integer(Int32.self), int64Value: integer(Int64.self),
      uint32Value: integer(UInt32.self), uint64Value: integer(UInt64.self), sint32Value: integer(Int32.self),
      sint64Value: integer(Int64.self), fixed32Value: integer(UInt32.self), fixed64Value: integer(UInt64.self),
      sfixed32Value: integer(Int32.self), sfixed64Value: integer(Int64.self),
      boolValue: Bool.random(using: &generator), stringValue: string(), bytesValue: bytes(), color: color(),
      leaf: maybe { $0.leaf() }, renamed: string(), choice: choice())
    fillLists(&message)
    fillMessages(&message)
    return message
  }

  private mutating func fillLists(_ message: inout EveryField) {
    message.doubles = list { $0.double() }
    message.floats = list { $0.float() }
    message.int32s = list { $0.integer(Int32.self) }
    message.int64s = list { $0.integer(Int64.self) }
    message.uint32s = list { $0.integer(UInt32.self) }
    message.uint64s = list { $0.integer(UInt64.self) }
    message.sint32s = list { $0.integer(Int32.self) }
    message.sint64s = list { $0.integer(Int64.self) }
    message.fixed32s = list { $0.integer(UInt32.self) }
    message.fixed64s = list { $0.integer(UInt64.self) }
    message.sfixed32s = list { $0.integer(Int32.self) }
    message.sfixed64s = list { $0.integer(Int64.self) }
    message.bools = list { Bool.random(using: &$0.generator) }
    message.strings = list { $0.string() }
    message.byteStrings = list { $0.bytes() }
    message.colors = list { $0.color() }
    message.leaves = list { $0.leaf() }
    message.unpacked = list { $0.integer(Int32.self) }
    message.stringMap = map({ $0.string() }, { $0.string() })
    message.leafMap = map({ $0.integer(Int32.self) }, { $0.leaf() })
    message.boolMap = map({ Bool.random(using: &$0.generator) }, { $0.double() })
    message.bytesMap = map({ $0.integer(UInt64.self) }, { $0.bytes() })
    message.colorMap = map({ $0.string() }, { $0.color() })
    message.numberMap = map({ $0.integer(Int64.self) }, { $0.integer(UInt32.self) })
  }

  private mutating func fillMessages(_ message: inout EveryField) {
    message.timestamp = maybe {
      let seconds = Int64.random(in: -62_135_596_800...253_402_300_799, using: &$0.generator)
      return GoogleProtobufTimestamp(seconds: seconds, nanos: Int32.random(in: 0..<1_000_000_000, using: &$0.generator))
    }
    message.duration = maybe {
      let sign: Int64 = Bool.random(using: &$0.generator) ? 1 : -1
      let seconds = Int64.random(in: 0...315_576_000_000, using: &$0.generator)
      return GoogleProtobufDuration(
        seconds: sign * seconds, nanos: Int32(sign) * Int32.random(in: 0..<1_000_000_000, using: &$0.generator))
    }
    if let leaf = maybe({ $0.leaf() }), let value = try? leaf.wire() {
      message.any = GoogleProtobufAny(
        typeUrl: "type.googleapis.com/buddy.testing.v1.Leaf", value: Array(value.readableBytesView))
    }
    message.empty = maybe { _ in GoogleProtobufEmpty() }
    message.doubleWrapper = maybe { GoogleProtobufDoubleValue(value: $0.double()) }
    message.floatWrapper = maybe { GoogleProtobufFloatValue(value: $0.float()) }
    message.int64Wrapper = maybe { GoogleProtobufInt64Value(value: $0.integer(Int64.self)) }
    message.uint64Wrapper = maybe { GoogleProtobufUInt64Value(value: $0.integer(UInt64.self)) }
    message.int32Wrapper = maybe { GoogleProtobufInt32Value(value: $0.integer(Int32.self)) }
    message.uint32Wrapper = maybe { GoogleProtobufUInt32Value(value: $0.integer(UInt32.self)) }
    message.boolWrapper = maybe { GoogleProtobufBoolValue(value: Bool.random(using: &$0.generator)) }
    message.stringWrapper = maybe { GoogleProtobufStringValue(value: $0.string()) }
    message.bytesWrapper = maybe { GoogleProtobufBytesValue(value: $0.bytes()) }
  }
}

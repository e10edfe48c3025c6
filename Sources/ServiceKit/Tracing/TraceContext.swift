public import Tracing

/// A trace's id: 128 random bits, not all zero.
public struct TraceID: Sendable, Hashable, CustomStringConvertible {
  let high: UInt64
  let low: UInt64

  /// 32 digits in lower case.
  public var description: String { bytes.hexadecimal }

  var bytes: [UInt8] { high.bigEndianBytes + low.bigEndianBytes }

  static func random() -> TraceID {
    TraceID(high: .random(in: .min ... .max), low: .random(in: 1 ... .max))
  }
}

/// A span's id: 64 random bits, not all zero.
public struct SpanID: Sendable, Hashable, CustomStringConvertible {
  let number: UInt64

  /// 16 digits in lower case.
  public var description: String { bytes.hexadecimal }

  var bytes: [UInt8] { number.bigEndianBytes }

  static func random() -> SpanID { SpanID(number: .random(in: 1 ... .max)) }
}

/// Where a span stands in its trace, as it travels from process to process: W3C Trace Context, Level 1.
public struct TraceContext: Sendable, Hashable {
  public let traceID: TraceID
  public let spanID: SpanID
  /// Whoever began the trace wants its spans recorded.
  public let isSampled: Bool
  /// Other vendors' entries, which pass through.
  let state: TraceState

  init(traceID: TraceID, spanID: SpanID, isSampled: Bool, state: TraceState = .init()) {
    self.traceID = traceID
    self.spanID = spanID
    self.isSampled = isSampled
    self.state = state
  }

  /// Reads a `traceparent` (section 3.2). Nil for one that has to be ignored: then a new trace begins.
  ///
  /// - Parameter tracestate: Its `tracestate`; one that is malformed counts as empty (section 3.3).
  public init?(traceparent: String, tracestate: String = "") {
    let bytes = Array(traceparent.utf8)
    guard bytes.count >= Self.length, let version = Hexadecimal.number(bytes[0..<2]), version != 0xFF,
      bytes[2] == Self.dash, bytes[35] == Self.dash, bytes[52] == Self.dash,
      let high = Hexadecimal.number(bytes[3..<19]), let low = Hexadecimal.number(bytes[19..<35]), high | low != 0,
      let parent = Hexadecimal.number(bytes[36..<52]), parent != 0,
      let flags = Hexadecimal.number(bytes[53..<55])
    else { return nil }
    // What a later version appends begins with a dash and is not ours to understand (section 3.2.4).
    guard bytes.count == Self.length || (version > 0 && bytes[Self.length] == Self.dash) else { return nil }
    self.init(
      traceID: TraceID(high: high, low: low), spanID: SpanID(number: parent), isSampled: flags & 1 == 1,
      state: TraceState(tracestate))
  }

  /// The header's value. Flags that this version of the standard does not name are sent as zero (section 3.2.2.5.2).
  public var traceparent: String { "00-\(traceID)-\(spanID)-\(isSampled ? "01" : "00")" }

  private static let length = 55
  private static let dash = UInt8(ascii: "-")
}

extension TraceContext {
  /// That of the span around the current task, if there is one.
  public static var current: TraceContext? { ServiceContext.current?.trace }

  /// The `traceparent` of the span around the current task, to be stored with what it causes; empty without one.
  public static var currentText: String { current?.traceparent ?? "" }
}

extension ServiceContext {
  private enum Key: ServiceContextKey {
    typealias Value = TraceContext
    static var nameOverride: String? { "trace" }
  }

  /// The span that this context belongs to.
  public internal(set) var trace: TraceContext? {
    get { self[Key.self] }
    set { self[Key.self] = newValue }
  }

  /// The context of what was caused by another process or in another time.
  ///
  /// - Parameter traceparent: As it was stored or delivered. An empty or malformed one begins a new trace.
  public static func continuing(_ traceparent: String) -> ServiceContext {
    var context = ServiceContext.topLevel
    context.trace = TraceContext(traceparent: traceparent)
    return context
  }
}

/// Digits as the standard wants them: in lower case.
enum Hexadecimal {
  /// At most 16 digits. Nil where a byte is none.
  static func number(_ digits: some Sequence<UInt8>) -> UInt64? {
    var number: UInt64 = 0
    for digit in digits {
      switch digit {
      case UInt8(ascii: "0")...UInt8(ascii: "9"): number = number << 4 | UInt64(digit - UInt8(ascii: "0"))
      case UInt8(ascii: "a")...UInt8(ascii: "f"): number = number << 4 | UInt64(digit - UInt8(ascii: "a") + 10)
      default: return nil
      }
    }
    return number
  }
}

extension UInt64 {
  fileprivate var bigEndianBytes: [UInt8] { Swift.withUnsafeBytes(of: bigEndian) { Array($0) } }
}

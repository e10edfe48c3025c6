public import struct Foundation.Date

extension GoogleProtobufTimestamp {
  /// Rounded down to a nanosecond as far as `Date` (a Double) has them.
  public init(_ date: Date) {
    let since1970 = date.timeIntervalSince1970
    let whole = since1970.rounded(.down)
    let nanos = Int32(min(((since1970 - whole) * 1e9).rounded(), 999_999_999))
    self.init(seconds: Int64(whole), nanos: nanos)
  }

  public var date: Date { Date(timeIntervalSince1970: Double(seconds) + Double(nanos) / 1e9) }

  public static var now: Self { Self(Date()) }

  /// True within the years 1 to 9999, which is all that its JSON form can say (timestamp.proto).
  public var isValid: Bool {
    (-62_135_596_800...253_402_300_799).contains(seconds) && (0..<1_000_000_000).contains(nanos)
  }
}

extension GoogleProtobufDuration {
  /// Cut to nanoseconds, towards zero. Seconds and nanos have the same sign, as the .proto file asks.
  public init(_ duration: Swift.Duration) {
    let (seconds, attoseconds) = duration.components
    self.init(seconds: seconds, nanos: Int32(attoseconds / 1_000_000_000))
  }

  public var duration: Swift.Duration { .seconds(seconds) + .nanoseconds(Int64(nanos)) }
}

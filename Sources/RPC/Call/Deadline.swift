import NIOCore

/// A moment by which a call must be over, on the machine's monotonic clock.
///
/// Travels as the time left (`grpc-timeout`), so the clocks of two machines need not agree.
public struct Deadline: Sendable, Hashable, Comparable, CustomStringConvertible {
  /// Nanoseconds of uptime; `Int64.max` is never.
  let nanoseconds: Int64

  public static let never = Deadline(nanoseconds: .max)

  /// - Parameter duration: From now. Not positive: expired already.
  public static func after(_ duration: Duration) -> Deadline {
    Timeout.deadline(nanoseconds: max(0, duration.nanoseconds))
  }

  /// The deadline of the call that the current task serves. A server binds it around each handler; calls that the
  /// handler makes use the earlier of it and their own, so that deadlines pass on by themselves.
  @TaskLocal public static var current: Deadline?

  public static func < (left: Deadline, right: Deadline) -> Bool { left.nanoseconds < right.nanoseconds }

  public var isExpired: Bool { self != .never && nanoseconds <= Self.now }

  /// Zero once it has expired.
  public var remaining: Duration {
    self == .never ? .seconds(Int64.max / 4) : .nanoseconds(max(0, nanoseconds - Self.now))
  }

  public var description: String { self == .never ? "never" : "in \(remaining)" }

  static var now: Int64 { Int64(bitPattern: NIODeadline.now().uptimeNanoseconds) }

  var moment: NIODeadline { .uptimeNanoseconds(UInt64(max(0, nanoseconds))) }
}

/// The value of `grpc-timeout`: at most eight digits and a unit (gRPC `doc/PROTOCOL-HTTP2.md`).
enum Timeout {
  private static let units: [(name: Character, nanoseconds: Int64)] = [
    ("n", 1), ("u", 1_000), ("m", 1_000_000), ("S", 1_000_000_000), ("M", 60_000_000_000), ("H", 3_600_000_000_000),
  ]

  /// In the finest unit that fits, rounded up.
  static func format(nanoseconds: Int64) -> String {
    let left = max(0, nanoseconds)
    for (name, size) in units {
      let value = left / size + (left % size == 0 ? 0 : 1)
      if value <= 99_999_999 { return "\(value)\(name)" }
    }
    return "99999999H"
  }

  /// Nil if malformed. What does not fit in 64 bits of nanoseconds is `Int64.max`.
  static func parse(_ text: some Collection<UInt8>) -> Int64? {
    guard text.count >= 2, text.count <= 9, let last = text.lazy.suffix(1).first,
      let unit = units.first(where: { $0.name.asciiValue == last })
    else { return nil }
    var value: Int64 = 0
    for digit in text.dropLast() {
      guard digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else { return nil }
      value = value * 10 + Int64(digit - UInt8(ascii: "0"))
    }
    let (nanoseconds, overflow) = value.multipliedReportingOverflow(by: unit.nanoseconds)
    return overflow ? .max : nanoseconds
  }

  /// The deadline that a timeout means, from now.
  static func deadline(nanoseconds: Int64) -> Deadline {
    let (moment, overflow) = Deadline.now.addingReportingOverflow(nanoseconds)
    return overflow ? .never : Deadline(nanoseconds: moment)
  }
}

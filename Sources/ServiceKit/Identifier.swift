import Foundation
import Synchronization

/// Identifiers that sort by the time they were made: UUID version 7 (RFC 9562, section 5.7).
public enum Identifier {
  fileprivate struct Last {
    var milliseconds: UInt64 = 0
    var counter: UInt64 = 0
  }

  private static let last = Mutex(Last())

  /// A new one, as 36 characters in lower case. Those of one process are strictly increasing, also as texts.
  public static func make() -> String {
    let now = UInt64(max(0, Date().timeIntervalSince1970 * 1000))
    let (milliseconds, counter) = last.withLock { $0.advance(to: now) }
    var random = SystemRandomNumberGenerator()
    return text(milliseconds: milliseconds, counter: counter, random: random.next())
  }

  /// Version and variant bits added; `counter` has 12 bits, of `random` 62 are used.
  static func text(milliseconds: UInt64, counter: UInt64, random: UInt64) -> String {
    let high = milliseconds << 16 | 0x7000 | counter
    let low = 0b10 << 62 | random >> 2
    let digits = hexadecimal(high) + hexadecimal(low)
    var result = ""
    for (index, digit) in digits.enumerated() {
      if [8, 12, 16, 20].contains(index) { result.append("-") }
      result.append(digit)
    }
    return result
  }

  private static func hexadecimal(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}

extension Identifier.Last {
  /// The counter (RFC 9562, section 6.2, method 1) starts at random in its lower half, so that there is room above.
  /// When it is used up, or the clock steps back, time is taken to go on from the last identifier's.
  fileprivate mutating func advance(to now: UInt64) -> (milliseconds: UInt64, counter: UInt64) {
    if now > milliseconds {
      self = Self(milliseconds: now, counter: UInt64.random(in: 0..<0x800))
    } else if counter < 0xFFF {
      counter += 1
    } else {
      self = Self(milliseconds: milliseconds + 1, counter: UInt64.random(in: 0..<0x800))
    }
    return (milliseconds, counter)
  }
}

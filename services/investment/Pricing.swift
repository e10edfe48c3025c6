import Messages
import RPC

/// What one tool's calls cost, in micro-units.
struct ToolPrice: Sendable, Hashable {
  var tool: String
  var perCall: Int64
  var perMebibyte: Int64

  /// The cost of one call that reads `bytes` bytes: a begun micro-unit counts as a whole one, so that the sum of many
  /// small calls is never less than one large call's.
  ///
  /// Throws `Status` OUT_OF_RANGE if the cost does not fit 63 bits.
  func cost(ofReading bytes: UInt64) throws -> Int64 {
    let mebibyte: UInt64 = 1 << 20
    let (high, low) = UInt64(perMebibyte).multipliedFullWidth(by: bytes)
    guard high < mebibyte else { throw overflow }
    let (whole, remainder) = mebibyte.dividingFullWidth((high, low))
    let begun = remainder == 0 ? whole : whole + 1
    guard let variable = Int64(exactly: begun) else { throw overflow }
    let (total, overflowed) = perCall.addingReportingOverflow(variable)
    guard !overflowed else { throw overflow }
    return total
  }

  private var overflow: Status { Status(.outOfRange, "the cost of this use of \(tool) is out of range") }
}

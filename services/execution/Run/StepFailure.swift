import Messages
import RPC
import ServiceKit

/// Why a step failed, as the mission reports it.
struct StepFailure: Error, Sendable {
  /// The longest message, in characters: it is stored with the mission and in two of its events.
  static let maximumMessage = 1_000
  /// How many details, and how long each.
  static let maximumDetails = 16
  static let maximumDetail = 200

  let error: Failure
  /// True if the tool itself failed, which is something to learn from; false where a service, a deadline or the budget
  /// kept it from its work.
  let isOfTool: Bool

  init(_ code: String, _ message: String, details: [String: String] = [:], isOfTool: Bool = false) {
    let kept = details.sorted { $0.key < $1.key }.prefix(Self.maximumDetails).map { name, value in
      (name.storable(atMost: Self.maximumDetail), value.storable(atMost: Self.maximumDetail))
    }
    error = Failure(
      code: code.storable(atMost: Self.maximumDetail), message: message.storable(atMost: Self.maximumMessage),
      details: Dictionary(kept) { first, _ in first })
    self.isOfTool = isOfTool
  }

  /// What a failed call of a service means for a mission.
  init(_ status: Status, calling service: String) {
    switch status.code {
    case .deadlineExceeded: self.init("DEADLINE_EXCEEDED", "the \(service) service did not answer in time")
    case _ where status == .noSpaceLeft: self.init("SERVICE_UNAVAILABLE", "the \(service) service has no space left")
    case .unavailable: self.init("SERVICE_UNAVAILABLE", "the \(service) service is unavailable: \(status.message)")
    default: self.init(status.code.name, "\(service): \(status.message)")
    }
  }
}

extension String {
  /// At most `limit` characters, without NUL, which no message on the wire may hold.
  func storable(atMost limit: Int) -> String {
    let short = utf8.count <= limit ? self : String(prefix(limit))
    return short.utf8.contains(0) ? short.replacing("\0", with: "") : short
  }
}

extension Double {
  /// With two digits behind the point, in every language the same: `0.87`. For numbers from 0 to 10,000.
  var hundredths: String {
    let count = Int((self * 100).rounded())
    return "\(count / 100).\(count % 100 / 10)\(count % 10)"
  }
}

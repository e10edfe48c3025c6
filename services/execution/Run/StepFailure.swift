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
  func storable(atMost limit: Int) -> String { String(prefix(limit)).replacing("\0", with: "") }
}

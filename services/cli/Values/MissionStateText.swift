import Messages

/// Mission states by the names people use: `pending-approval`.
extension MissionState {
  /// Takes `running`, `RUNNING`, `pending-approval`, `pending_approval` and the proto name.
  init?(text: String) {
    let wanted = Self.normalized(text)
    guard let match = Self.allKnown.first(where: { $0 != .unspecified && Self.normalized($0.protoName) == wanted })
    else { return nil }
    self = match
  }

  /// `pending approval`: in a sentence.
  var words: String { label.lowercased().replacing("_", with: " ") }

  /// `pending-approval` and so on, for help texts and errors.
  static var choices: String {
    allKnown.filter { $0 != .unspecified }.map { $0.words.replacing(" ", with: "-") }.joined(separator: ", ")
  }

  private static func normalized(_ text: String) -> String {
    let name = text.uppercased().replacing("-", with: "_")
    return name.hasPrefix("MISSION_STATE_") ? String(name.dropFirst("MISSION_STATE_".count)) : name
  }
}

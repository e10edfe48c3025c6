extension Money {
  /// The amount with its currency, at least two and at most six decimals: "0.0015 USD".
  public var display: String {
    let magnitude = micros.magnitude
    var decimals = String(magnitude % 1_000_000)
    decimals = String(repeating: "0", count: 6 - decimals.count) + decimals
    while decimals.count > 2, decimals.hasSuffix("0") { decimals.removeLast() }
    return "\(micros < 0 ? "-" : "")\(magnitude / 1_000_000).\(decimals) \(currency)"
  }
}

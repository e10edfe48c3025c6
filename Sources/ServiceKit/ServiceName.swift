/// The services, in the order in which they take their ports.
public enum ServiceName: String, CaseIterable, Sendable {
  case gateway, execution, progress, learning, investment, scheduler, artifact

  /// How far a service's admin port is above its own, unless it is given.
  public static let adminPortDistance = 1000

  /// 8420 for the gateway, one more for each after it.
  public var defaultPort: Int {
    8420 + (Self.allCases.firstIndex(of: self) ?? 0)
  }
}

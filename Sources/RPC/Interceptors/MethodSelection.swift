/// Which methods an interceptor is for.
package struct MethodSelection: Sendable {
  private let prefixes: [String]

  /// - Parameter services: Fully qualified names of the services that are left out.
  package init(except services: [String]) { prefixes = services.map { "/\($0)/" } }

  package func contains(_ path: String) -> Bool { !prefixes.contains { path.hasPrefix($0) } }
}

/// Services that tell about a server instead of doing its work. They stay reachable when the others are at their
/// limits, and their streams may last for ever.
public enum InfrastructureServices {
  public static let health = "grpc.health.v1.Health"
  public static let reflection = ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"]
  public static let names = [health] + reflection
}

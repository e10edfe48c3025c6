import ServiceKit

/// The ports of everything that runs: each service's own, and the one beside it for administration.
struct FleetPorts: Sendable, Hashable {
  var service: [ServiceName: Int] = [:]
  var admin: [ServiceName: Int] = [:]

  /// The highest port the gateway can have so that all others still have theirs.
  static var highestGatewayPort: Int { 65_535 - ServiceName.adminPortDistance - lastOffset }

  static var lastOffset: Int { ServiceName.allCases.count - 1 }

  init() {}

  /// Fixed ports: the gateway's own, for each other service one above it, and each admin port where its service would take
  /// it by itself.
  init(from gateway: Int) {
    for (offset, name) in ServiceName.allCases.enumerated() where ServiceFleet.services.contains(name) {
      service[name] = gateway + offset
      admin[name] = gateway + offset + ServiceName.adminPortDistance
    }
  }
}

import Foundation
import NIOCore
import NIOPosix
import ServiceKit

/// Looks whether ports are free before anything is started, because a service's own error would be one among many.
enum PortCheck {
  /// Throws status 69 that names the port that cannot be had, the service that wants it and the flag that changes it.
  static func check(_ ports: FleetPorts) async throws {
    let all = ports.service.map { ($0.key, $0.value) } + ports.admin.map { ($0.key, $0.value) }
    for (name, port) in all.sorted(by: { $0.1 < $1.1 }) {
      do {
        try await bind(port).close()
      } catch let error as IOError {
        throw taken(port, by: name, reason: error.errnoCode)
      }
    }
  }

  /// Two free ports for each, all different.
  static func choose(_ names: [ServiceName]) async throws -> FleetPorts {
    var (ports, held) = (FleetPorts(), [any Channel]())
    for name in names {
      let (own, admin) = (try await bind(0), try await bind(0))
      held += [own, admin]
      ports.service[name] = own.localAddress?.port
      ports.admin[name] = admin.localAddress?.port
    }
    for channel in held { try await channel.close() }
    return ports
  }

  private static func bind(_ port: Int) async throws -> any Channel {
    try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
      .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
      .bind(host: ServiceFleet.host, port: port).get()
  }

  private static func taken(_ port: Int, by name: ServiceName, reason: Int32) -> CommandError {
    let why = reason == EADDRINUSE ? "is taken by another program" : String(cString: strerror(reason)).lowercased()
    return CommandError(
      code: "PORT_TAKEN",
      message: "port \(port), which \(ServiceFleet.program(name)) wants, \(why); choose others with --port N "
        + "(N to N+\(FleetPorts.lastOffset) are used, and those \(ServiceName.adminPortDistance) above) "
        + "or --port 0 (any that are free)",
      exit: .unavailable)
  }
}

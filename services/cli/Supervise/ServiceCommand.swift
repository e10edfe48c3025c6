import Foundation
import ServiceKit

/// How one service is started.
struct ServiceCommand: Sendable, Hashable {
  let name: ServiceName
  /// Path of the program.
  let executable: String
  let arguments: [String]
  /// Where its log goes.
  let log: String
}

/// Everything `buddy up` starts: which programs, on which ports, with which flags.
struct ServiceFleet: Sendable {
  /// What runs. The order of `ServiceName` gives each its place after the gateway's port.
  static let services: [ServiceName] = [.gateway, .execution, .progress, .learning, .investment, .artifact]

  static let host = "127.0.0.1"

  /// Folder of the programs.
  var binaries: String
  var data: String
  var ports: FleetPorts
  /// Flags that are passed on as they are, for example `--log-level debug`.
  var common: [String] = []

  static func program(_ name: ServiceName) -> String { "buddy-\(name.rawValue)" }

  var commands: [ServiceCommand] { Self.services.map(command) }

  private func command(_ name: ServiceName) -> ServiceCommand {
    var arguments = [
      "--host", Self.host, "--port", String(ports.service[name] ?? 0), "--admin-port", String(ports.admin[name] ?? 0),
      "--data", data,
    ]
    for peer in Self.services where peer != name && peer != .gateway {
      arguments += ["--\(peer.rawValue)-address", "\(Self.host):\(ports.service[peer] ?? 0)"]
    }
    return ServiceCommand(
      name: name, executable: "\(binaries)/\(Self.program(name))", arguments: arguments + common,
      log: "\(data)/logs/\(name.rawValue).log")
  }

  /// Throws status 66 with the names of the programs that are not there.
  func checkPrograms() throws {
    let missing = Self.services.map(Self.program).filter { access("\(binaries)/\($0)", X_OK) != 0 }
    guard missing.isEmpty else {
      throw CommandError(
        code: "PROGRAM_MISSING",
        message: "\(missing.joined(separator: ", ")) cannot be run from \(binaries); name their folder with --binaries",
        exit: .notFound)
    }
  }

  /// The folder this very program is in.
  static func ownFolder() -> String {
    let path = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
    return URL(fileURLWithPath: path ?? CommandLine.arguments[0]).deletingLastPathComponent().path
  }
}

import Foundation
import ServiceKit

/// Where the services of a running installation are: `<data>/installation.json`, there while `buddy up` runs.
struct InstallationFile: Codable, Hashable {
  struct Service: Codable, Hashable {
    /// `host:port` of its gRPC server, of the gateway's HTTP server.
    var address: String
    /// `host:port` of its admin server.
    var admin: String?
  }

  var services: [String: Service]

  init(_ fleet: ServiceFleet) {
    services = fleet.ports.reduce(into: [:]) { found, entry in
      found[entry.key.rawValue] = Service(address: "\(ServiceFleet.host):\(entry.value)")
    }
  }

  static func path(_ data: String) -> String { "\(data)/installation.json" }

  static func read(_ data: String) throws -> InstallationFile {
    guard let bytes = FileManager.default.contents(atPath: path(data)) else {
      throw CommandError(
        code: "NOT_RUNNING",
        message: "nothing runs with the data folder \(data) (\(path(data)) is not there); start it with `buddy up`, name "
          + "its folder with --data, or name each service with --service NAME=HOST:PORT",
        exit: .unavailable)
    }
    guard let file = try? JSONDecoder().decode(InstallationFile.self, from: bytes) else {
      throw CommandError(
        code: "NOT_RUNNING", message: "\(path(data)) is not what `buddy up` writes", exit: .unavailable)
    }
    return file
  }

  func write(_ data: String) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    do {
      try encoder.encode(self).write(to: URL(fileURLWithPath: Self.path(data)), options: .atomic)
    } catch {
      throw CommandError(code: "DATA_FOLDER", message: "cannot write \(Self.path(data))", exit: .cannotWrite)
    }
  }

  static func remove(_ data: String) { unlink(path(data)) }
}

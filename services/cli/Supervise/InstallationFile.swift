import Foundation
import ServiceKit

/// `<data>/installation.json`: where everything that `buddy up` has started listens, for whoever looks after it.
///
///     {"services": {"execution": {"address": "127.0.0.1:8421", "admin": "127.0.0.1:9421"}, …}}
///
/// With `--tls-folder` its path stands beside, as `tls`. The file is there while `buddy up` runs; one that a killed run
/// left is replaced by the next.
struct InstallationFile: Sendable {
  let path: String

  init(data: String) {
    path = "\(data)/installation.json"
  }

  /// Whole or not at all: a reader never sees half a file.
  func write(_ ports: FleetPorts, tls: TLSFolder? = nil) throws {
    let content = Content(services: Dictionary(uniqueKeysWithValues: ports.service.map { name, port in
      let admin = "\(ServiceFleet.host):\(ports.admin[name] ?? 0)"
      return (name.rawValue, Content.Service(address: "\(ServiceFleet.host):\(port)", admin: admin))
    }), tls: tls?.path)
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    do {
      try (encoder.encode(content) + Data("\n".utf8)).write(to: URL(fileURLWithPath: path), options: .atomic)
    } catch {
      throw CommandError(code: "DATA_FOLDER", message: "cannot write \(path)", exit: .cannotWrite)
    }
  }

  func remove() { unlink(path) }

  private struct Content: Encodable {
    struct Service: Encodable {
      let address: String
      let admin: String
    }

    let services: [String: Service]
    let tls: String?
  }
}

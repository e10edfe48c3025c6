import Foundation
import ServiceKit

/// Where the services of a running installation listen, as `buddy up` wrote it down (``InstallationFile``).
struct RunningInstallation {
  private struct Content: Decodable {
    struct Service: Decodable { let address: String }

    let services: [String: Service]
    let tls: String?
  }

  /// Of every service that keeps something.
  let addresses: [ServiceName: PeerAddress]
  /// Where their certificates are, if they speak TLS.
  let tls: TLSFolder?

  /// Throws status 69 where nothing runs, or where something else wrote the file.
  init(data: String) throws {
    let path = "\(data)/installation.json"
    guard let bytes = FileManager.default.contents(atPath: path) else {
      throw Self.notRunning(
        "nothing runs with the data folder \(data) (\(path) is not there); start it with `buddy up`, name its folder "
          + "with --data, or name each service with --service NAME=HOST:PORT")
    }
    guard let content = try? JSONDecoder().decode(Content.self, from: bytes) else {
      throw Self.notRunning("\(path) is not what `buddy up` writes")
    }
    tls = content.tls.map { TLSFolder($0) }
    addresses = try ServiceFleet.stateful.reduce(into: [:]) { found, name in
      guard let address = content.services[name.rawValue].flatMap({ PeerAddress(settingText: $0.address) }) else {
        throw Self.notRunning("\(path) does not say where \(name.rawValue) listens")
      }
      found[name] = address
    }
  }

  private static func notRunning(_ message: String) -> CommandError {
    CommandError(code: "NOT_RUNNING", message: message, exit: .unavailable)
  }
}

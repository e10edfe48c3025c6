import Foundation
import Messages
import RPC
import ServiceKit
import ServiceTestSupport
import Stubs
import TestSupport
import Testing

/// An installation whose services speak mutual TLS.
@Suite(.timeLimit(.minutes(4))) struct TLSTests {
  private let certificates: TemporaryFolder

  init() throws { certificates = try TemporaryFolder("certificates") }

  private func make(_ name: String) async throws -> TLSFolder {
    let path = certificates.file(name)
    let made = try await Command.run("buddy", ["certs", "init", "--folder", path], in: certificates)
    #expect(made.code == 0, "\(made.errors)")
    #expect(made.output.contains("spiffe://buddy/execution"))
    return TLSFolder(path)
  }

  @Test func missionsRunAndStrangersAreRefused() async throws {
    let folder = try await make("ours")
    let installation = try await Installation(["--tls-folder", folder.path])
    let file = try installation.file("sales.csv", "region,price\nNorth,10\nNorth,20\n")
    let run = try await installation.buddy("run", "Average price by region", "--input", file)
    #expect(run.code == 0, "\(run.errors)")
    #expect(run.output.contains("15"))

    let ports = try ports(installation)
    try await strangersAreRefused(ports, folder)
    try await everyServiceMayOnlyWhatItNeeds(ports, folder)

    let target = installation.folder.file("backup")
    let backup = try await Command.run(
      "buddy", ["backup", target, "--data", installation.folder.file("data")], in: installation.folder)
    #expect(backup.code == 0, "\(backup.errors)")
    #expect(FileManager.default.fileExists(atPath: "\(target)/progress/database.sqlite3"))
    #expect(try await installation.stop() == 0)
  }

  private func strangersAreRefused(_ ports: [ServiceName: Int], _ folder: TLSFolder) async throws {
    let others = try await make("others")
    for (name, port) in ports {
      #expect(await health(port, nil)?.code == .unavailable, "\(name): plain text")
      let foreign = try ClientTLS(trust: .ca(file: folder.authority), certificate: others.certificate("gateway"))
      #expect(await health(port, foreign)?.code == .unavailable, "\(name): another authority")
      let nobody = try ClientTLS(trust: .ca(file: folder.authority))
      #expect(await health(port, nobody)?.code == .unavailable, "\(name): no certificate")
      #expect(await health(port, try folder.client("cli", of: name)) == nil, "\(name)")
    }
    // Who listens at progress' port with execution's certificate is not progress.
    let port = try #require(ports[.execution])
    let mistaken = await health(port, try folder.client("gateway", of: .progress))
    #expect(mistaken?.message.contains("is spiffe://buddy/execution, not spiffe://buddy/progress") == true)
  }

  private func everyServiceMayOnlyWhatItNeeds(_ ports: [ServiceName: Int], _ folder: TLSFolder) async throws {
    let list = ListEventsRequest(missionId: "m")
    func asks(_ caller: String) async throws -> Status? {
      try await with(ports[.progress], folder.client(caller, of: .progress)) {
        _ = try await ProgressClient($0).list(list, .timeout(.seconds(30)))
      }
    }
    #expect(try await asks("execution")?.code == .permissionDenied)
    #expect(try await asks("execution")?.message
      == "spiffe://buddy/execution may not call /buddy.progress.v1.Progress/List")
    #expect(try await asks("cli")?.code == .permissionDenied)
    #expect(try await asks("gateway")?.code != .permissionDenied)
  }

  private func health(_ port: Int, _ tls: ClientTLS?) async -> Status? {
    await with(port, tls) { _ = try await GrpcHealthV1HealthClient($0).check(.init(), .timeout(.seconds(30))) }
  }

  /// How `body` fails.
  private func with(_ port: Int?, _ tls: ClientTLS?, _ body: (Client) async throws -> Void) async -> Status? {
    var options = ClientOptions()
    options.tls = tls
    let client = Client(host: "127.0.0.1", port: port ?? 0, options: options)
    var status: Status?
    do {
      try await body(client)
    } catch {
      status = Status(reporting: error)
    }
    await client.close()
    return status
  }

  private func ports(_ installation: Installation) throws -> [ServiceName: Int] {
    struct Content: Decodable {
      struct Service: Decodable { let address: String }
      let services: [String: Service]
      let tls: String
    }
    let data = try Data(contentsOf: URL(fileURLWithPath: installation.folder.file("data/installation.json")))
    let content = try JSONDecoder().decode(Content.self, from: data)
    #expect(content.tls.hasSuffix("/ours"))
    return try content.services.reduce(into: [:]) { all, entry in
      let name = try #require(ServiceName(rawValue: entry.key))
      if name != .gateway { all[name] = PeerAddress(settingText: entry.value.address)?.port }
    }
  }
}

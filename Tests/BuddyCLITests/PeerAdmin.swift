import Messages
import RPC
import ServiceKit
import Stubs
import Synchronization

/// Admin services on real servers that do as they are told, well or badly.
final class PeerAdmin: AdminHandler {
  typealias Backup = @Sendable (RequestStream<BackupRequest>, ResponseWriter<BackupPart>) async throws -> Void

  /// Whether a call is under way.
  var isHeld: Bool { calls.load(ordering: .relaxed) > 0 }
  private let calls = Atomic(0)
  private let script: Backup

  init(_ script: @escaping Backup) { self.script = script }

  /// Behaves: is held, waits for `copy`, sends these parts.
  init(_ name: ServiceName, _ parts: [BackupPart.Part] = PeerAdmin.database, held: BackupPart.Part? = nil) {
    script = { requests, responses in
      var iterator = requests.makeAsyncIterator()
      guard case .hold? = try await iterator.next()?.command else { throw Status(.invalidArgument, "hold first") }
      let state = WritesHeld(service: name.rawValue, schemaVersion: 3)
      try await responses.write(BackupPart(part: held ?? .held(state)))
      guard case .copy? = try await iterator.next()?.command else { throw Status(.cancelled, "no copy") }
      for part in parts { try await responses.write(BackupPart(part: part)) }
    }
  }

  static let database: [BackupPart.Part] = [
    .file(BackupFile(path: "database.sqlite3", size: 5)), .chunk(Array("he".utf8)), .chunk(Array("llo".utf8)),
    .end(BackupFileEnd(sha256: "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824")),
  ]

  func backup(
    _ requests: RequestStream<BackupRequest>, _ responses: ResponseWriter<BackupPart>, _ context: ServerContext
  ) async throws {
    calls.add(1, ordering: .relaxed)
    defer { calls.subtract(1, ordering: .relaxed) }
    try await script(requests, responses)
  }

  func listRefused(_ request: ListRefusedRequest, _ context: ServerContext) async throws -> ListRefusedResponse {
    throw Status(.unimplemented, "")
  }

  func retryRefused(_ request: RetryRefusedRequest, _ context: ServerContext) async throws -> RefusedDelivery {
    throw Status(.unimplemented, "")
  }

  func dropRefused(_ request: DropRefusedRequest, _ context: ServerContext) async throws -> RefusedDelivery {
    throw Status(.unimplemented, "")
  }

  /// Runs a server for each, for as long as the body takes.
  static func serving<Result>(
    _ peers: [ServiceName: PeerAdmin], _ body: ([ServiceName: PeerAddress]) async throws -> Result
  ) async throws -> Result {
    var (servers, addresses) = ([Server](), [ServiceName: PeerAddress]())
    for (name, peer) in peers {
      var router = Router()
      router.register(peer)
      let server = Server(router: router)
      addresses[name] = PeerAddress(host: "127.0.0.1", port: try await server.start(host: "127.0.0.1", port: 0).port)
      servers.append(server)
    }
    do {
      let result = try await body(addresses)
      for server in servers { await server.shutdown(grace: .seconds(10)) }
      return result
    } catch {
      for server in servers { await server.shutdown(grace: .seconds(10)) }
      throw error
    }
  }
}

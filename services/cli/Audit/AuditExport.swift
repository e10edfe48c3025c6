import AsyncHTTPClient
import Messages
import NIOCore
import NIOHTTP1

/// Fetches the audit log after a number, through a gateway that may go away and come back, and checks it on the way.
struct AuditExport: Sendable {
  let gateway: GatewayClient
  /// From the gateway's last sign of life to giving up.
  var patience = Duration.seconds(60)

  /// Hands over the lines that follow `chain`, each whole and once, and returns the chain with them.
  /// Throws status 65 for an entry that does not fit.
  func run(
    after chain: AuditChain, _ take: ([UInt8]) async throws -> Void
  ) async throws -> AuditChain {
    var chain = chain
    var policy = ReconnectPolicy(now: .now, limit: patience)
    while true {
      do {
        try await fetch(&chain, &policy, take)
        return chain
      } catch let error as CommandError where error.exit == .unavailable || error.exit == .tryAgain {
        guard let pause = policy.failed(at: .now) else { throw error }
        try await Task.sleep(for: pause)
      }
    }
  }

  private func fetch(
    _ chain: inout AuditChain, _ policy: inout ReconnectPolicy, _ take: ([UInt8]) async throws -> Void
  ) async throws {
    let response = try await gateway.open(
      .GET, ["audit", "export"], query: [("after_number", String(chain.last))],
      headers: ["accept": "application/x-ndjson"], streaming: true)
    var lines = AuditLines()
    var body = response.body.makeAsyncIterator()
    while let bytes = try await gateway.translated({ try await body.next() }) {
      policy.alive(at: .now)
      var fitting: [UInt8] = []
      for line in try lines.consume(bytes.readableBytesView) {
        guard let entry = try entry(line), entry.number > chain.last else { continue }
        if let problem = chain.take(entry) {
          // What came before it is good, and is kept.
          try await take(fitting)
          throw CommandError(code: "DATA_LOSS", message: "entry \(entry.number) of the audit log: \(problem)")
        }
        fitting += line + [0x0A]
      }
      if !fitting.isEmpty { try await take(fitting) }
    }
    if !lines.rest.isEmpty { throw CommandError.unreachable(gateway.address.description, "it broke off") }
  }

  /// An export that fails half way says so in its last line.
  private func entry(_ line: [UInt8]) throws -> AuditEntry? {
    if let error = GatewayFailure.told(line) { throw error }
    return try WireJSON.decode(AuditEntry.self, from: line)
  }
}

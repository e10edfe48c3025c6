import AsyncHTTPClient
import Messages
import NIOCore
import RPC
import ServiceKit
import Stubs
import Synchronization
import TestSupport
import Testing

@testable import GatewayService

@Suite struct UploadTests {
  /// An artifact service that keeps what it is sent; `state` tells how the last put went.
  final class Store: Sendable {
    struct State: Sendable {
      var header: PutArtifactHeader?
      var bytes: [UInt8] = []
      var largestChunk = 0
      var isComplete = false
      var hasFailed = false
    }
    let state = Mutex(State())

    var artifacts: ScriptedArtifacts {
      var artifacts = ScriptedArtifacts()
      artifacts.onPut = { requests in
        do { return try await self.take(requests) } catch {
          self.state.withLock { $0.hasFailed = true }
          throw error
        }
      }
      return artifacts
    }

    private func take(_ requests: RequestStream<PutArtifactRequest>) async throws -> Artifact {
      for try await request in requests {
        state.withLock { state in
          switch request.part {
          case .header(let header): state.header = header
          case .chunk(let bytes):
            state.bytes += bytes
            state.largestChunk = max(state.largestChunk, bytes.count)
          case nil: break
          }
        }
      }
      return state.withLock { state in
        state.isComplete = true
        return Artifact(
          id: "a1", name: state.header?.name ?? "", mediaType: state.header?.mediaType ?? "",
          size: UInt64(state.bytes.count), sha256: state.header?.sha256 ?? "")
      }
    }
  }

  @Test func streamsTheBodyInPieces() async throws {
    var random = SeededRandom()
    let bytes = (0..<5 << 20).map { _ in UInt8.random(in: 0...255, using: &random) }
    let store = Store()
    try await withGateway(Backend(artifacts: store.artifacts)) { gateway in
      let digest = String(repeating: "ab", count: 32)
      let response = try await gateway.open(
        "POST", "/api/v1/artifacts?name=C:%5Cdata%5C..%2Fs%C3%A4les.csv",
        ["Content-Type": "text/csv; charset=utf-8", "X-Content-SHA256": digest], body: .bytes(bytes))
      #expect(response.code == 201)
      #expect(response.header("Location") == "/api/v1/artifacts/a1")
      let state = store.state.withLock { $0 }
      #expect(state.bytes == bytes)
      #expect(state.largestChunk <= 256 << 10)
      #expect(state.header == PutArtifactHeader(
        name: "säles.csv", mediaType: "text/csv; charset=utf-8", sha256: digest))
      #expect(try await gateway.send("POST", "/api/v1/artifacts?name=empty", body: "").status == 201)
    }
  }

  @Test(arguments: ["", "?name=", "?name=%2F"])
  func aNameIsNeeded(_ query: String) async throws {
    try await withGateway { gateway in
      let answer = try await gateway.send("POST", "/api/v1/artifacts\(query)", body: "x")
      #expect(answer.status == 400)
      #expect(answer.errorCode == "INVALID_ARGUMENT")
    }
  }

  @Test func tooLargeIsRefusedBeforeAndOnTheWay() async throws {
    let store = Store()
    let backend = Backend(artifacts: store.artifacts, configure: { $0.maximumUpload = 1 << 20 })
    try await withGateway(backend) { gateway in
      let announced = try await gateway.open(
        "POST", "/api/v1/artifacts?name=a", body: .bytes([UInt8](repeating: 0, count: (1 << 20) + 1)))
      #expect(announced.code == 413)
      #expect(store.state.withLock { $0.header } == nil)
      let pieces = AsyncStream { continuation in
        for _ in 0..<40 { continuation.yield(ByteBuffer(repeating: 7, count: 64 << 10)) }
        continuation.finish()
      }
      let chunked = try await gateway.open(
        "POST", "/api/v1/artifacts?name=a", body: .stream(pieces, length: .unknown))
      #expect(chunked.code == 413)
      let text = String(buffer: try await chunked.body.collect(upTo: 4096))
      #expect(text.contains("CONTENT_TOO_LARGE"))
      try await eventually("the put is given up") { store.state.withLock { $0.hasFailed } }
      #expect(!store.state.withLock { $0.isComplete })
      let exact = try await gateway.open(
        "POST", "/api/v1/artifacts?name=a", body: .bytes([UInt8](repeating: 0, count: 1 << 20)))
      #expect(exact.code == 201)
    }
  }

  /// Half a file must never be stored as a whole one.
  @Test(arguments: [
    "Content-Length: 100\r\n\r\nonly this", "Transfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n",
  ])
  func aBrokenUploadIsGivenUp(_ rest: String) async throws {
    let store = Store()
    try await withGateway(Backend(artifacts: store.artifacts)) { gateway in
      let connection = try await RawConnection(port: gateway.port)
      try await connection.send("POST /api/v1/artifacts?name=a HTTP/1.1\r\nHost: localhost\r\n\(rest)") {
        try await eventually("the first bytes arrive") { store.state.withLock { !$0.bytes.isEmpty } }
      }
      try await eventually("the put is over") { store.state.withLock { $0.hasFailed || $0.isComplete } }
      #expect(!store.state.withLock { $0.isComplete })
    }
  }

  /// A client that does not stop after its refusal is cut off some time after the limit.
  @Test func endlessBodiesAreCutOff() async throws {
    let backend = Backend(artifacts: Store().artifacts, configure: { $0.maximumUpload = 1 << 20 })
    try await withGateway(backend) { gateway in
      let connection = try await RawConnection(port: gateway.port)
      let piece = "10000\r\n" + String(repeating: "x", count: 0x10000) + "\r\n"
      let sent = try await connection.flood(
        "POST /api/v1/artifacts?name=a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n", piece,
        atMost: 4096)
      #expect(sent < 4096)
    }
  }

  /// The time limit of other bodies is not for uploads, but once one is refused, the rest of it has to come soon.
  @Test func slowUploadsMayTakeTheirTimeUntilRefused() async throws {
    let backend = Backend(artifacts: Store().artifacts, configure: { $0.bodyTimeout = .milliseconds(200) })
    try await withGateway(backend) { gateway in
      let head = " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: "
      let slow = try await RawConnection(port: gateway.port).trickle(
        "POST /api/v1/artifacts?name=a\(head)20\r\n\r\n", every: .milliseconds(20))
      #expect(slow.hasPrefix("HTTP/1.1 201 "), "\(slow)")
      let refused = try await RawConnection(port: gateway.port).trickle(
        "POST /api/v1/artifacts HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\n",
        every: .milliseconds(20))
      #expect(refused.hasPrefix("HTTP/1.1 400 "), "\(refused)")
    }
  }

  @Test func uploadsThatStallAreGivenUp() async throws {
    let store = Store()
    let backend = Backend(artifacts: store.artifacts, configure: { $0.idleTimeout = .milliseconds(300) })
    try await withGateway(backend) { gateway in
      _ = try? await RawConnection(port: gateway.port).exchange(
        "POST /api/v1/artifacts?name=a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\nonly this")
      try await eventually("the put is given up") { store.state.withLock { $0.hasFailed } }
      #expect(!store.state.withLock { $0.isComplete })
    }
  }

  @Test func clientsThatAskFirstAreToldToGoOn() async throws {
    try await withGateway(Backend(artifacts: Store().artifacts)) { gateway in
      let head = "POST /api/v1/artifacts?name=a HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n"
      let asked = try await RawConnection(port: gateway.port).exchange(head + "Content-Length: 3\r\n\r\n") {
        $0.contains("\r\n\r\n")
      }
      #expect(asked.hasPrefix("HTTP/1.1 100 Continue\r\n"))
      let refused = try await RawConnection(port: gateway.port).exchange(
        head + "Content-Length: 99999999999\r\n\r\n"
      ) { $0.contains("}}") }
      #expect(refused.hasPrefix("HTTP/1.1 413 "))
    }
  }

  @Test func whatTheServiceRefusesIsTold() async throws {
    for (code, status) in [(Status.Code.dataLoss, 400), (.resourceExhausted, 413), (.unavailable, 503)] {
      var backend = Backend()
      backend.artifacts.onPut = { requests in
        for try await _ in requests {}
        throw Status(code, "no")
      }
      try await withGateway(backend) { gateway in
        let answer = try await gateway.send("POST", "/api/v1/artifacts?name=a", body: "x")
        #expect(answer.status == status)
        #expect(answer.errorCode == code.name)
        #expect(answer.errorService == "artifact")
      }
    }
    try await withGateway { (gateway) async throws in
      let headers = ["X-Content-SHA256": "xyz"]
      #expect(try await gateway.send("POST", "/api/v1/artifacts?name=a", headers, body: "x").status == 400)
      #expect(try await gateway.get("/api/v1/artifacts?mission_id=m").text.contains(#""missionId":"m""#))
    }
  }
}

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

@Suite struct DownloadTests {
  static let bytes = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) }

  /// Serves `bytes`, of which it gives out `available` before it fails.
  static func backend(available: Int = .max) -> Backend {
    let artifact = Artifact(
      id: "a1", name: "säles \"1\".csv", mediaType: "text/csv", size: UInt64(bytes.count), sha256: "abc")
    var backend = Backend()
    backend.artifacts.onDescribe = { request in
      guard request.id == "a1" else { throw Status(.notFound, "there is no artifact \(request.id)") }
      return artifact
    }
    backend.artifacts.onGet = { request, responses in
      try await responses.write(GetArtifactResponse(part: .artifact(artifact)))
      var offset = Int(request.offset)
      while offset < min(bytes.count, available) {
        let end = min(offset + 64_000, bytes.count, available)
        try await responses.write(GetArtifactResponse(part: .chunk(Array(bytes[offset..<end]))))
        offset = end
      }
      if offset < bytes.count { throw Status(.dataLoss, "the file is damaged") }
    }
    return backend
  }

  @Test func whole() async throws {
    try await withGateway(Self.backend()) { gateway in
      let answer = try await gateway.get("/api/v1/artifacts/a1/content")
      #expect(answer.status == 200)
      #expect(Array(answer.body.readableBytesView) == Self.bytes)
      for (name, value) in [
        ("Content-Length", "300000"), ("Content-Type", "text/csv"), ("ETag", "\"abc\""), ("Accept-Ranges", "bytes"),
        ("X-Content-Type-Options", "nosniff"), ("Content-Security-Policy", "sandbox; default-src 'none'"),
        ("Content-Disposition", "attachment; filename=\"s_les _1_.csv\"; filename*=UTF-8''s%C3%A4les%20%221%22.csv"),
      ] {
        #expect(answer.header(name) == value)
      }
      #expect(try await gateway.get("/api/v1/artifacts/a1").json["size"] as? String == "300000")
      let head = try await gateway.send("HEAD", "/api/v1/artifacts/a1/content")
      #expect(head.status == 200 && head.body.readableBytes == 0)
      #expect(head.header("Content-Length") == "300000")
      #expect(try await gateway.get("/api/v1/artifacts/zz/content").status == 404)
    }
  }

  @Test(arguments: [
    ("bytes=100-", 100..<300_000), ("bytes=5-7", 5..<8), ("bytes=-10", 299_990..<300_000),
    ("bytes=299999-400000", 299_999..<300_000), ("bytes=70000-200000", 70_000..<200_001),
  ])
  func parts(_ range: String, _ expected: Range<Int>) async throws {
    try await withGateway(Self.backend()) { gateway in
      let answer = try await gateway.get("/api/v1/artifacts/a1/content", ["Range": range])
      #expect(answer.status == 206)
      #expect(Array(answer.body.readableBytesView) == Array(Self.bytes[expected]))
      #expect(
        answer.header("Content-Range") == "bytes \(expected.lowerBound)-\(expected.upperBound - 1)/300000")
    }
  }

  @Test func conditions() async throws {
    try await withGateway(Self.backend()) { gateway in
      let path = "/api/v1/artifacts/a1/content"
      let outside = try await gateway.get(path, ["Range": "bytes=300000-"])
      #expect(outside.status == 416)
      #expect(outside.header("Content-Range") == "bytes */300000")
      #expect(outside.errorCode == "OUT_OF_RANGE")
      let same = try await gateway.get(path, ["If-None-Match": "W/\"x\", \"abc\""])
      #expect(same.status == 304)
      #expect(same.body.readableBytes == 0)
      #expect(try await gateway.get(path, ["If-None-Match": "\"x\""]).status == 200)
      #expect(try await gateway.get(path, ["Range": "bytes=0-0", "If-Range": "\"abc\""]).status == 206)
      #expect(try await gateway.get(path, ["Range": "bytes=0-0", "If-Range": "\"old\""]).status == 200)
      #expect(try await gateway.get(path, ["Range": "bytes=0-0,5-6"]).status == 200)
    }
  }

  /// A short body must look broken, not finished.
  @Test func aFailureOnTheWayBreaksTheConnection() async throws {
    try await withGateway(Self.backend(available: 130_000)) { gateway in
      let response = try await gateway.open("GET", "/api/v1/artifacts/a1/content")
      #expect(response.code == 200)
      await #expect(throws: (any Error).self) { try await response.body.collect(upTo: 1 << 20) }
      #expect(try await gateway.get("/healthz").status == 200)
    }
  }

  @Test func aFailureAtTheStartIsAnAnswer() async throws {
    var backend = Self.backend()
    backend.artifacts.onGet = { _, _ in throw Status(.dataLoss, "the file is damaged") }
    try await withGateway(backend) { [backend] gateway in
      _ = backend
      let answer = try await gateway.get("/api/v1/artifacts/a1/content")
      #expect(answer.status == 500)
      #expect(answer.errorCode == "DATA_LOSS")
    }
  }

  /// The service could send 400 MB; a client that does not read lets only what fits in buffers through.
  @Test func aSlowClientIsBounded() async throws {
    let sent = Atomic<Int>(0)
    let artifact = Artifact(id: "a1", name: "big", size: 400 << 20, sha256: "abc")
    var backend = Backend()
    backend.artifacts.onDescribe = { _ in artifact }
    backend.artifacts.onGet = { _, responses in
      try await responses.write(GetArtifactResponse(part: .artifact(artifact)))
      for _ in 0..<1600 {
        try await responses.write(GetArtifactResponse(part: .chunk([UInt8](repeating: 1, count: 256 << 10))))
        sent.add(1, ordering: .relaxed)
      }
    }
    try await withGateway(backend) { gateway in
      let response = try await gateway.open("GET", "/api/v1/artifacts/a1/content")
      for _ in 0..<300 { #expect(try await gateway.get("/api/v1/artifacts/other").status == 200) }
      #expect(sent.load(ordering: .relaxed) < 320)
      withExtendedLifetime(response) {}
    }
  }
}

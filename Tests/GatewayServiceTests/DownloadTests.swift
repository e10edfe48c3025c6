import AsyncHTTPClient
import Messages
import NIOCore
import RPC
import ServiceKit
import Stubs
import Synchronization
import Testing

@testable import GatewayService

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

import Hummingbird
import NIOCore
import ServiceKit
import Testing

@testable import GatewayService

@Suite struct GatewayMetricsTests {
  private func counts(_ gateway: TestGateway) async -> [String] {
    await gateway.metrics.exposition().split(separator: "\n").map(String.init)
      .filter { $0.hasPrefix("buddy_http_server_duration_seconds_count") }
  }

  @Test func requestsAreMeasuredByRoute() async throws {
    try await withGateway { (gateway: TestGateway) async throws -> Void in
      #expect(try await gateway.get("/healthz").status == 200)
      #expect(try await gateway.get("/healthz?again=1").status == 200)
      #expect(try await gateway.send("DELETE", "/healthz").status == 405)
      #expect(try await gateway.send("PROPFIND", "/api").status == 404)
      for path in ["/a", "/b", "/api/v1/nothing"] { #expect(try await gateway.get(path).status == 404) }
      #expect(try await gateway.get("/healthz", ["Host": "evil.example"]).status >= 400)
      let name = "buddy_http_server_duration_seconds_count"
      let found = await counts(gateway)
      #expect(found.contains("\(name){code=\"200\",method=\"GET\",route=\"/healthz\"} 2"))
      #expect(found.contains("\(name){code=\"405\",method=\"DELETE\",route=\"/healthz\"} 1"))
      #expect(found.contains("\(name){code=\"404\",method=\"unknown\",route=\"unknown\"} 1"))
      #expect(found.contains("\(name){code=\"404\",method=\"GET\",route=\"unknown\"} 3"))
      #expect(found.count == 5, "\(found)")
    }
  }

  @Test func anAnswerThatBreaksOffIsMeasuredToo() async throws {
    struct Broken: Error {}
    let registry = MetricsRegistry()
    let metrics = GatewayMetrics(registry)
    let response = Response(status: .ok, body: ResponseBody { _ in throw Broken() })
    let measured = metrics.measured(response, to: .get, route: "/x/{id}", since: .now)
    #expect(await registry.exposition().contains("_count") == false)
    await #expect(throws: Broken.self) { try await measured.body.write(NoWriter()) }
    #expect(await registry.exposition().contains("_count{code=\"200\",method=\"GET\",route=\"/x/{id}\"} 1"))
  }

  private struct NoWriter: ResponseBodyWriter {
    mutating func write(_ buffer: ByteBuffer) async throws {}
    consuming func finish(_ trailingHeaders: HTTPFields?) async throws {}
  }
}

import ArgumentParser
import Messages
import TestSupport
import Testing

@testable import BuddyCLI

@Suite("Refused deliveries", .timeLimit(.minutes(1)))
struct DeliveryTests {
  private static let answer = """
    {"services":[{"service":"execution","deliveries":[{"id":"d-1","topic":"progress","key":"m-1","payloadSize":"12",\
    "createdAt":"2026-01-01T00:00:00Z","refusedAt":"2026-01-02T00:00:00Z","reason":"a gap"}],"nextPageToken":"x"},\
    {"service":"learning","error":{"code":"UNAVAILABLE","message":"it cannot be reached","service":"learning"}}]}
    """

  @Test("the list has what each service said, and who could not be asked")
  func list() async throws {
    try await PeerGateway.with { _, reply in
      try await reply.json(Self.answer)
    } _: { gateway, port in
      let (list, json) = try await GatewayClientTests.client(port) { try await $0.refusedDeliveries(limit: 7) }
      #expect(json == Self.answer)
      #expect(gateway.requests.map(\.uri) == ["/api/v1/deliveries/refused?page_size=7"])
      #expect(list.services.map(\.service) == ["execution", "learning"])
      #expect(list.services[0].nextPageToken == "x" && list.services[1].error?.code == "UNAVAILABLE")
      let lines = DeliveryCommand.List.table(list).lines(columns: nil)
      #expect(lines.count == 2)
      #expect(lines[1] == "execution  d-1       progress  m-1  2026-01-02T00:00:00Z  a gap")
    }
  }

  @Test("retry and drop ask for one delivery of one service")
  func actions() async throws {
    try await PeerGateway.with { request, reply in
      try await reply.json(#"{"id":"d/1","topic":"progress"}"#)
    } _: { gateway, port in
      let retried = try await GatewayClientTests.client(port) { try await $0.retryDelivery("execution", "d/1") }
      let dropped = try await GatewayClientTests.client(port) { try await $0.dropDelivery("execution", "d/1") }
      #expect(retried == RefusedDelivery(id: "d/1", topic: "progress") && dropped == retried)
      #expect(gateway.requests.map { "\($0.method) \($0.uri)" } == [
        "POST /api/v1/deliveries/refused/execution/d%2F1/retry", "DELETE /api/v1/deliveries/refused/execution/d%2F1",
      ])
    }
  }

  @Test("bad arguments are refused", arguments: [
    ["delivery", "list", "--limit", "0"], ["delivery", "list", "--limit", "1001"], ["delivery", "retry", "execution"],
    ["delivery", "drop", "", "d-1"], ["delivery", "drop", "execution", ""],
  ])
  func arguments(_ arguments: [String]) {
    #expect(throws: (any Error).self) { try Buddy.parseAsRoot(arguments) }
  }
}

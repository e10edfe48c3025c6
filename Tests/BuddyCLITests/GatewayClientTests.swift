import AsyncHTTPClient
import Foundation
import Messages
import NIOCore
import NIOHTTP1
import ServiceKit
import Synchronization
import TestSupport
import Testing

@testable import BuddyCLI

@Suite("Talking to a gateway")
struct GatewayClientTests {
  static func client<Result: Sendable>(
    _ port: Int, limits: GatewayClient.Limits = .init(), _ body: (GatewayClient) async throws -> Result
  ) async throws -> Result {
    try await GatewayClient.with(GatewayAddress(host: "127.0.0.1", port: port), limits: limits, body)
  }

  @Test("where nobody listens, the error says so and what to do")
  func unreachable() async throws {
    let error = await #expect(throws: CommandError.self) {
      try await Self.client(1) { try await $0.mission("m") }
    }
    #expect(error?.exit == .unavailable)
    #expect(error?.message.contains("connection refused") == true && error?.message.contains("buddy up") == true)
  }

  @Test("an error of the gateway keeps its code and message")
  func errors() async throws {
    try await PeerGateway.with { _, reply in
      try await reply.json(#"{"error":{"code":"NOT_FOUND","message":"no mission m-123"}}"#, .notFound)
    } _: { _, port in
      let error = await #expect(throws: CommandError.self) {
        try await Self.client(port) { try await $0.mission("m-123") }
      }
      #expect(error?.description == "NOT_FOUND: no mission m-123")
      #expect(error?.exit == .notFound)
    }
  }

  @Test("answers that are none of ours are unexpected, not a crash", arguments: ["", "<html>", "[]", "{\"id\":5}"])
  func nonsense(_ body: String) async throws {
    try await PeerGateway.with { _, reply in
      try await reply.json(body)
    } _: { _, port in
      let error = await #expect(throws: CommandError.self) {
        try await Self.client(port) { try await $0.mission("m") }
      }
      #expect(error?.exit == .internalError)
    }
  }

  @Test("fields of a newer gateway are passed over")
  func newerFields() async throws {
    try await PeerGateway.with { _, reply in
      try await reply.json(#"{"id":"m-1","state":"MISSION_STATE_RUNNING","invented":{"x":[1]}}"#)
    } _: { _, port in
      let mission = try await Self.client(port) { try await $0.mission("m-1") }
      #expect(mission == Mission(id: "m-1", state: .running))
    }
  }

  @Test("a gateway that accepts and says nothing is given up on")
  func silent() async throws {
    var limits = GatewayClient.Limits()
    limits.request = .milliseconds(100)
    try await PeerGateway.with { _, _ in
      try await Task.sleep(for: .seconds(3600))
    } _: { [limits] _, port in
      let error = await #expect(throws: CommandError.self) {
        try await Self.client(port, limits: limits) { try await $0.mission("m") }
      }
      #expect(error?.exit == .tryAgain || error?.exit == .unavailable)
    }
  }

  @Test("submitting again after a failure uses the same key")
  func submitRetries() async throws {
    let attempts = Mutex(0)
    try await PeerGateway.with { request, reply in
      let attempt = attempts.withLock { count in
        count += 1
        return count
      }
      switch attempt {
      case 1:
        let text = #"{"error":{"code":"UNAVAILABLE","message":"execution is away"}}"#
        try await reply.json(text, .serviceUnavailable)
      case 2: throw PeerGateway.BreakOff()
      default: try await reply.json(#"{"id":"m-1","state":"MISSION_STATE_APPROVED"}"#, .created)
      }
    } _: { gateway, port in
      let mission = try await Self.client(port) {
        try await $0.submit(SubmitMissionRequest(objective: "x"), idempotencyKey: "key-1")
      }
      #expect(mission.id == "m-1")
      #expect(gateway.requests.map { $0.header("idempotency-key") } == ["key-1", "key-1", "key-1"])
      #expect(Set(gateway.requests.map { String(decoding: $0.body, as: UTF8.self) }) == [#"{"objective":"x"}"#])
    }
  }

  @Test("a list is of one owner and one recipe where that is asked for, by whoever asks")
  func selects() async throws {
    try await PeerGateway.with { _, reply in
      try await reply.json(#"{"missions":[]}"#)
    } _: { gateway, port in
      _ = try await GatewayClient.with(GatewayAddress(host: "127.0.0.1", port: port), user: "ann") {
        try await $0.missions(states: [], owner: "bob", recipe: "R&D", limit: 5)
      }
      #expect(gateway.requests.map { $0.uri } == ["/api/v1/missions?owner=bob&recipe=R%26D&page_size=5"])
      #expect(gateway.requests.map { $0.header("x-buddy-user") } == ["ann"])
    }
  }

  @Test("a list goes on from page to page and stops at the limit")
  func pages() async throws {
    try await PeerGateway.with { request, reply in
      let next = request.uri.contains("page_token=t1") ? "t2" : "t1"
      try await reply.json(##"{"missions":[{"id":"a-\##(next)"},{"id":"b-\##(next)"}],"nextPageToken":"\##(next)"}"##)
    } _: { gateway, port in
      let missions = try await Self.client(port) { try await $0.missions(states: [.running, .failed], limit: 3) }
      #expect(missions.map { $0.id } == ["a-t1", "b-t1", "a-t2"])
      #expect(gateway.requests.map { $0.uri } == [
        "/api/v1/missions?state=RUNNING&state=FAILED&page_size=3",
        "/api/v1/missions?state=RUNNING&state=FAILED&page_size=1&page_token=t1",
      ])
    }
  }

  @Test("health names what does not serve")
  func health() async throws {
    try await PeerGateway.with { _, reply in
      try await reply.json(
        #"{"status":"DEGRADED","services":{"execution":{"status":"SERVING"},"progress":{"status":"UNREACHABLE"}}}"#)
    } _: { _, port in
      let health = try await Self.client(port) { try await $0.health().health }
      #expect(health.failing == ["progress"])
      #expect(HealthCommand.table(health).lines(columns: nil).last == "progress   UNREACHABLE")
    }
  }

  @Test("an upload is streamed with its name, type and length, and its digest is checked", arguments: [true, false])
  func upload(_ intact: Bool) async throws {
    let folder = try TemporaryFolder("upload")
    let content = String(repeating: "0123456789", count: 100_000)
    try content.write(toFile: folder.file("sales & more.csv"), atomically: true, encoding: .utf8)
    let digest = "72c6f7c9c2e6d3b0cc1ac9f1b1a0fd4d0c6b7d52c0a7ad87a8b4d9c5b0e3f1aa"
    try await PeerGateway.with { request, reply in
      let sha = intact ? SHA.hexadecimal(request.body) : digest
      try await reply.json(#"{"id":"a-1","sha256":"\#(sha)"}"#, .created)
    } _: { gateway, port in
      let file = try InputFile(path: folder.file("sales & more.csv"))
      if intact {
        let seen = Mutex<UInt64>(0)
        let artifact = try await Self.client(port) { client in
          try await client.upload(file) { amount in seen.withLock { $0 = amount } }
        }
        #expect(artifact.id == "a-1")
        #expect(seen.withLock { $0 } == 1_000_000)
      } else {
        let error = await #expect(throws: CommandError.self) {
          try await Self.client(port) { try await $0.upload(file) }
        }
        #expect(error?.exit == .damagedData)
      }
      let request = try #require(gateway.requests.first)
      #expect(request.uri == "/api/v1/artifacts?name=sales%20%26%20more.csv")
      #expect(request.header("content-type") == "text/csv")
      #expect(request.header("content-length") == "1000000")
      #expect(request.body == Array(content.utf8))
    }
  }
}

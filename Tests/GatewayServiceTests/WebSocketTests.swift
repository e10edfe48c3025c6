import Messages
import NIOCore
import NIOWebSocket
import RPC
import ServiceKit
import ServiceLifecycle
import TestSupport
import Testing

@testable import GatewayService

/// The connection itself: handshake, frames, limits, closing.
@Suite struct WebSocketTests {
  private static let handshake =
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    + "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

  @Test func switchesWithTheKeysAnswer() async throws {
    try await withGateway { gateway in
      let answer = try await RawConnection(port: gateway.port).exchange(
        "GET /ws HTTP/1.1\r\nHost: localhost\r\n\(Self.handshake)\r\n"
      ) { $0.contains("\r\n\r\n") }
      #expect(answer.hasPrefix("HTTP/1.1 101 "))
      // The example of RFC 6455 §1.3.
      #expect(answer.lowercased().contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "\(answer)")
    }
  }

  @Test(arguments: [
    ("/ws", "Host: localhost", 426), ("/ws?x=1", "Host: localhost\r\nUpgrade: websocket", 426),
    ("/ws", "Host: localhost\r\nUpgrade: h2c\r\nConnection: Upgrade", 426),
    ("/ws", "Host: localhost\r\n" + handshake.replacing("13", with: "8"), 426),
    ("/ws", "Host: localhost\r\n" + handshake.replacing("dGhl", with: ""), 400),
    ("/ws", "Host: localhost\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + handshake, 400),
    ("/ws", "Host: localhost\r\nContent-Length: 1\r\n" + handshake, 400),
    ("/ws", handshake, 400), ("/ws", "Host: localhost\r\nHost: localhost\r\n" + handshake, 400),
    ("/ws", "Host: evil.example\r\n" + handshake, 403),
    ("http://evil.example/ws", "Host: localhost\r\n" + handshake, 403),
    ("/ws", "Host: localhost\r\nOrigin: https://evil.example\r\n" + handshake, 403),
    ("/ws", "Host: localhost\r\nOrigin: null\r\n" + handshake, 403),
    ("/ws", "Host: localhost\r\nOrigin: http://localhost:1\r\n" + handshake, 403),
    ("/ws", "Host: localhost\r\nOrigin: http://localhost\r\n" + handshake, 101),
    ("/ws", "Host: localhost\r\nOrigin: https://BUDDY.example\r\n" + handshake, 101),
    ("http://localhost/ws", "Host: evil.example\r\n" + handshake, 101),
    ("/ws", "Host: localhost\r\n" + handshake, 101),
  ])
  func onlyGoodHandshakesAreTaken(_ target: String, _ headers: String, _ status: Int) async throws {
    try await withGateway(Backend(configure: { $0.allowedHosts = ["buddy.example"] })) { gateway in
      let body = headers.contains("Content-Length") ? "x" : ""
      let head = headers.hasSuffix("\r\n") ? headers : headers + "\r\n"
      let answer = try await RawConnection(port: gateway.port).exchange(
        "GET \(target) HTTP/1.1\r\n\(head)\r\n\(body)"
      ) { $0.contains("}}") || ($0.contains(" 101 ") && $0.contains("\r\n\r\n")) }
      #expect(answer.hasPrefix("HTTP/1.1 \(status) "), "\(answer)")
      if status == 426 { #expect(answer.lowercased().contains("upgrade: websocket")) }
    }
  }

  /// Whatever is not `/ws` is Hummingbird's, in pieces or after another request.
  @Test func otherRequestsAreNotTouched() async throws {
    try await withGateway { gateway in
      #expect(try await gateway.send("POST", "/ws").status == 405)
      #expect(try await gateway.get("/wsx").status == 404)
      let second = try await RawConnection(port: gateway.port).exchange(
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET /ws HTTP/1.1\r\nHost: localhost\r\n\(Self.handshake)\r\n"
      ) { $0.contains("UPGRADE_REQUIRED") }
      #expect(second.hasPrefix("HTTP/1.1 200 "))
      #expect(second.contains("HTTP/1.1 426 "))
    }
    try await withGateway(Backend(configure: { $0.idleTimeout = .milliseconds(50) })) { (gateway) async throws in
      #expect(try await RawConnection(port: gateway.port).exchange("GET /w").isEmpty)
    }
  }

  @Test func pingsAndPongs() async throws {
    try await withGateway { gateway in
      try await SocketClient.with(port: gateway.port) { socket in
        try await socket.send(.ping, ByteBuffer(string: "hello"))
        let pong = try #require(try await socket.frame())
        #expect(pong.opcode == .pong)
        #expect(String(buffer: pong.unmaskedData) == "hello")
        try await socket.send(#"{"op":"ping"}"#)
        #expect(try await socket.text() == #"{"op":"pong"}"#)
      }
    }
  }

  @Test func aPeerThatAnswersNoPingIsGone() async throws {
    try await withGateway(Backend(configure: { $0.heartbeat = .milliseconds(20) })) { gateway in
      try await SocketClient.with(port: gateway.port) { socket in
        var pings = 0
        while let frame = try await socket.frame() { pings += frame.opcode == .ping ? 1 : 0 }
        #expect(pings == 2)
      }
    }
  }

  @Test func fragmentsMakeOneMessage() async throws {
    try await withGateway { gateway in
      try await SocketClient.with(port: gateway.port) { socket in
        try await socket.send(.text, ByteBuffer(string: #"{"op""#), fin: false)
        try await socket.send(.ping, ByteBuffer(string: "between"))
        try await socket.send(.continuation, ByteBuffer(string: #":"pi"#), fin: false)
        try await socket.send(.continuation, ByteBuffer(string: #"ng"}"#))
        #expect(try await socket.frame()?.opcode == .pong)
        #expect(try await socket.text() == #"{"op":"pong"}"#)
      }
    }
  }

  private struct Bad: Sendable, CustomStringConvertible {
    let description: String
    let code: UInt16
    let send: Send

    typealias Send = @Sendable (SocketClient.Session) async throws -> Void

    init(_ description: String, _ code: UInt16, _ send: @escaping Send) {
      self.description = description
      self.code = code
      self.send = send
    }
  }

  private static let large = ByteBuffer(repeating: UInt8(ascii: " "), count: (64 << 10) + 1)
  private static let half = ByteBuffer(repeating: UInt8(ascii: " "), count: 33 << 10)

  private static let bad: [Bad] = [
    Bad("binary", 1003) { try await $0.send(.binary, ByteBuffer(string: "x")) },
    Bad("not UTF-8", 1007) { try await $0.send(.text, ByteBuffer(bytes: [0x22, 0xFF, 0x22])) },
    Bad("a frame that is too large", 1009) { try await $0.send(.text, large) },
    Bad("fragments that are too large together", 1009) {
      try await $0.send(.text, half, fin: false)
      try await $0.send(.continuation, half)
    },
    Bad("unmasked", 1002) { try await $0.send(.text, ByteBuffer(string: "{}"), masked: false) },
    Bad("a continuation of nothing", 1002) { try await $0.send(.continuation, ByteBuffer(string: "x")) },
    Bad("a message inside another", 1002) {
      try await $0.send(.text, ByteBuffer(string: "x"), fin: false)
      try await $0.send(.text, ByteBuffer(string: "x"))
    },
    Bad("a fragmented ping", 1002) { try await $0.send(.ping, ByteBuffer(), fin: false) },
  ]

  @Test(arguments: bad.indices) func badFramesCloseTheConnection(_ index: Int) async throws {
    let bad = Self.bad[index]
    try await withGateway { gateway in
      try await SocketClient.with(port: gateway.port) { socket in
        try await bad.send(socket)
        #expect(try await socket.closeCode() == bad.code, "\(bad)")
      }
    }
  }

  @Test(arguments: [(1000, 1000), (3001, 3001), (1005, 1002)] as [(UInt16, UInt16)])
  func closingIsAnswered(_ sent: UInt16, _ answered: UInt16) async throws {
    try await withGateway { gateway in
      try await SocketClient.with(port: gateway.port) { socket in
        try await socket.send(.connectionClose, ByteBuffer(integer: sent))
        #expect(try await socket.closeCode() == answered)
        #expect(try await socket.frame() == nil)
      }
    }
  }

  @Test func stoppingSaysGoodbye() async throws {
    try await withGateway { gateway in
      try await SocketClient.with(port: gateway.port) { socket in
        try await socket.send(#"{"op":"ping"}"#)
        #expect(try await socket.text() == #"{"op":"pong"}"#)
        await gateway.group.triggerGracefulShutdown()
        #expect(try await socket.closeCode() == 1001)
      }
    }
  }

  @Test func connectionsAreLimited() async throws {
    try await withGateway(Backend(configure: { $0.sockets.maximumSockets = 1 })) { gateway in
      try await SocketClient.with(port: gateway.port) { first in
        try await first.send(#"{"op":"ping"}"#)
        #expect(try await first.text() != nil)
        let refused = try await RawConnection(port: gateway.port).exchange(
          "GET /ws HTTP/1.1\r\nHost: localhost\r\n\(Self.handshake)\r\n"
        ) { $0.contains("}}") }
        #expect(refused.hasPrefix("HTTP/1.1 503 "))
        #expect(refused.contains("RESOURCE_EXHAUSTED"))
        #expect(refused.lowercased().contains("retry-after: 1"))
        try await first.send(.connectionClose, ByteBuffer(integer: UInt16(1000)))
        #expect(try await first.closeCode() == 1000)
      }
      try await eventually("the place is free again") {
        do {
          return try await SocketClient.with(port: gateway.port) { _ in true }
        } catch is SocketClient.Refused { return false }
      }
    }
  }

  private static let sequenceRule = "afterSequence must be a whole number from 0 to 9223372036854775807."
  private static let coalesceRule = "coalesceAfter must be a whole number from 0 to 4294967295."

  @Test(arguments: [
    ("", "valid request"), ("[]", "object"), (#"{"op":"dance"}"#, "op must be"), (#"{"id":"a"}"#, "op"),
    (#"{"op":"subscribe"}"#, "id must have"), (#"{"op":"subscribe","id":"a"}"#, "missionId or all"),
    (#"{"op":"subscribe","id":"a","missionid":"m"}"#, "no field"),
    (#"{"op":"subscribe","id":"a","missionId":"m","afterSequence":-1}"#, sequenceRule),
    (#"{"op":"subscribe","id":"a","missionId":"m","afterSequence":1.5}"#, sequenceRule),
    (#"{"op":"subscribe","id":"a","missionId":"m","afterSequence":"x"}"#, sequenceRule),
    (#"{"op":"subscribe","id":"a","missionId":"m","afterSequence":9223372036854775808}"#, sequenceRule),
    (#"{"op":"subscribe","id":"a","all":true,"afterPosition":true}"#, "afterPosition must be a whole number from 0"),
    (#"{"op":"subscribe","id":"a","all":true,"coalesceAfter":-1}"#, coalesceRule),
    (#"{"op":"subscribe","id":"a","all":true,"coalesceAfter":0.5}"#, coalesceRule),
    (#"{"op":"subscribe","id":"a","all":true,"coalesceAfter":1099511627776}"#, coalesceRule),
    (#"{"op":"subscribe","id":"a","missionId":"m","owner":"ada"}"#, "only be with all"),
    (#"{"op":"subscribe","id":"a","missionId":"m","all":true}"#, "neither"),
    (#"{"op":"subscribe","id":"a","all":true,"fromNow":true,"afterPosition":"1"}"#, "contradict"),
    (#"{"op":"subscribe","id":"a","all":true,"states":["HAPPY"]}"#, "state must be"),
  ])
  func badRequestsAreAnswered(_ text: String, _ mentions: String) async throws {
    try await withGateway { gateway in
      try await SocketClient.with(port: gateway.port) { socket in
        try await socket.send(text)
        let answer = try #require(try await socket.message())
        #expect(answer.op == "error")
        #expect(answer.errorCode == "INVALID_ARGUMENT")
        #expect(answer.errorMessage?.contains(mentions) == true, "\(answer.text)")
        #expect(answer.id == nil || answer.id == "a")
        try await socket.send(#"{"op":"ping"}"#)
        #expect(try await socket.message()?.op == "pong")
      }
    }
  }
}

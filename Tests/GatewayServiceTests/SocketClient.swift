import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOWebSocket

/// A WebSocket of the tests, which shows every frame as it is, and sends any.
struct SocketClient: Sendable {
  private let channel: NIOAsyncChannel<WebSocketFrame, WebSocketFrame>

  /// How the server answered a handshake: switched, or with a status.
  struct Refused: Error {
    let status: Int
    let head: HTTPResponseHead?
  }

  /// Opens `/ws` and runs `body` with it.
  /// - Throws: `Refused` where the server does not switch.
  static func with<Result: Sendable>(
    port: Int, headers: HTTPHeaders = [:],
    _ body: @Sendable (inout Session) async throws -> Result
  ) async throws -> Result {
    let channel = try await connect(port: port, headers: headers)
    return try await channel.executeThenClose { inbound, outbound in
      var session = Session(inbound: inbound.makeAsyncIterator(), outbound: outbound, channel: channel.channel)
      return try await body(&session)
    }
  }

  private static func connect(
    port: Int, headers: HTTPHeaders
  ) async throws -> NIOAsyncChannel<WebSocketFrame, WebSocketFrame> {
    let result = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
      .connect(host: "127.0.0.1", port: port) { channel in
        channel.eventLoop.makeCompletedFuture {
          let upgrader = NIOTypedWebSocketClientUpgrader<NIOAsyncChannel<WebSocketFrame, WebSocketFrame>?>(
            maxFrameSize: 16 << 20,
            upgradePipelineHandler: { channel, _ in
              channel.eventLoop.makeCompletedFuture {
                try NIOAsyncChannel(wrappingChannelSynchronously: channel)
              }
            })
          var head = HTTPRequestHead(version: .http1_1, method: .GET, uri: "/ws", headers: headers)
          if head.headers["Host"].isEmpty { head.headers.add(name: "Host", value: "127.0.0.1:\(port)") }
          return try channel.pipeline.syncOperations.configureUpgradableHTTPClientPipeline(
            configuration: .init(
              upgradeConfiguration: NIOTypedHTTPClientUpgradeConfiguration(
                upgradeRequestHead: head, upgraders: [upgrader],
                notUpgradingCompletionHandler: { $0.eventLoop.makeSucceededFuture(nil) })))
        }
      }
    guard let channel = try await result.get() else { throw Refused(status: 0, head: nil) }
    return channel
  }

  /// An open WebSocket.
  struct Session {
    var inbound: NIOAsyncChannelInboundStream<WebSocketFrame>.AsyncIterator
    let outbound: NIOAsyncChannelOutboundWriter<WebSocketFrame>
    let channel: any Channel

    func send(_ text: String) async throws { try await send(.text, ByteBuffer(string: text)) }

    func send(_ opcode: WebSocketOpcode, _ data: ByteBuffer, fin: Bool = true, masked: Bool = true) async throws {
      try await outbound.write(
        WebSocketFrame(fin: fin, opcode: opcode, maskKey: masked ? .random() : nil, data: data))
    }

    /// The next frame; nil once the server has closed.
    mutating func frame() async throws -> WebSocketFrame? { try await inbound.next() }

    /// The next text, with pings left out; nil at the server's close frame or end.
    mutating func text() async throws -> String? {
      while let frame = try await frame() {
        switch frame.opcode {
        case .text: return String(buffer: frame.unmaskedData)
        case .connectionClose: return nil
        default: continue
        }
      }
      return nil
    }

    /// The next message.
    mutating func message() async throws -> SocketMessage? { try await text().map(SocketMessage.init) }

    /// Messages up to one with this op, itself included.
    mutating func messages(until op: String) async throws -> [SocketMessage] {
      var messages: [SocketMessage] = []
      while let message = try await message() {
        messages.append(message)
        if message.op == op { break }
      }
      return messages
    }

    /// The code of the server's close frame; nil if the connection ends without one.
    mutating func closeCode() async throws -> UInt16? {
      while let frame = try await frame() {
        if frame.opcode == .connectionClose {
          let data = frame.unmaskedData
          return data.getInteger(at: data.readerIndex)
        }
      }
      return nil
    }
  }
}

/// What the server says, as JSON.
struct SocketMessage: Sendable {
  let text: String

  init(_ text: String) { self.text = text }

  private var json: [String: Any] {
    (try? JSONSerialization.jsonObject(with: Data(text.utf8))) as? [String: Any] ?? [:]
  }

  var op: String { json["op"] as? String ?? "" }
  var id: String? { json["id"] as? String }
  var position: String? { json["position"] as? String }
  var lastSequence: String? { json["lastSequence"] as? String }
  var resumeAfter: String? { json["resumeAfter"] as? String }
  var sequence: String? { (json["event"] as? [String: Any])?["sequence"] as? String }
  var coalesced: Int { (json["event"] as? [String: Any])?["coalesced"] as? Int ?? 0 }
  var errorCode: String? { (json["error"] as? [String: Any])?["code"] as? String }
  var errorMessage: String? { (json["error"] as? [String: Any])?["message"] as? String }
  var errorResumeAfter: String? { (json["error"] as? [String: Any])?["resumeAfter"] as? String }

  /// The event as it was sent, byte for byte.
  var event: String? {
    guard let start = text.range(of: #""event":{"#) else { return nil }
    return String(text[text.index(before: start.upperBound)...].dropLast())
  }
}

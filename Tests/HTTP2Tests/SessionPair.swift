import HTTP2
import NIOCore

/// A client's and a server's session that talk in memory.
final class SessionPair {
  let client: Session
  let server: Session
  /// Every event so far, in order.
  private(set) var clientEvents: [Event] = []
  private(set) var serverEvents: [Event] = []

  init(
    client: Session.Configuration = .init(), server: Session.Configuration = .init()
  ) throws {
    self.client = try Session(.client, configuration: client)
    self.server = try Session(.server, configuration: server)
  }

  /// Carries bytes both ways until neither side has more to say.
  /// - Parameter chunk: How many bytes arrive at once.
  func exchange(chunk: () -> Int = { .max }) throws {
    while true {
      let toServer = try Self.output(of: client)
      try Self.feed(toServer, to: server, chunk)
      serverEvents += server.takeEvents()
      let toClient = try Self.output(of: server)
      try Self.feed(toClient, to: client, chunk)
      clientEvents += client.takeEvents()
      serverEvents += server.takeEvents()
      if toServer.readableBytes == 0, toClient.readableBytes == 0 { return }
    }
  }

  static func output(of session: Session) throws -> ByteBuffer {
    var buffer = ByteBuffer()
    try session.drain(into: &buffer, limit: .max)
    return buffer
  }

  static func feed(_ bytes: ByteBuffer, to session: Session, _ chunk: () -> Int) throws {
    var bytes = bytes
    while bytes.readableBytes > 0, let part = bytes.readSlice(length: min(bytes.readableBytes, max(1, chunk()))) {
      try session.receive(part)
    }
  }

  func clearEvents() {
    clientEvents = []
    serverEvents = []
  }

  static let requestHeaders: HeaderBlock = [
    ":method": "POST", ":scheme": "http", ":authority": "test", ":path": "/a/b", "x-one": "1",
  ]

  func request(_ body: String? = nil, end: Bool = true) throws -> (Int32, StreamOutput?) {
    let output = body.map { body in
      let output = StreamOutput()
      output.append(ByteBuffer(string: body))
      if end { output.end() }
      return output
    }
    return (try client.request(headers: Self.requestHeaders, output: output), output)
  }
}

extension [Event] {
  func headers(_ stream: Int32) -> [Event.Headers] {
    compactMap { if case .headers(let headers) = $0, headers.stream == stream { headers } else { nil } }
  }

  func body(_ stream: Int32) -> String {
    var all = ByteBuffer()
    for case .data(stream, let chunk) in self { all.writeImmutableBuffer(chunk) }
    return String(buffer: all)
  }

  func hasEnd(_ stream: Int32) -> Bool {
    contains { if case .end(stream) = $0 { true } else { false } }
  }

  func closeCode(_ stream: Int32) -> UInt32? {
    for case .closed(stream, let code) in self { return code }
    return nil
  }
}

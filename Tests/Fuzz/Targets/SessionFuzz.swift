import HTTP2
import NIOCore

/// Feeds a session frames, in pieces, while its owner answers requests, reads bodies, resets and drains.
func fuzzSession(_ input: Bytes) throws {
  var input = input
  let isServer = input.byte() & 1 == 0
  let owner = try Owner(isServer ? .server : .client, choices: input.take(16))
  if isServer { try owner.feed(Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)) }
  let piece = max(1, input.number() % 2_000)
  while !input.isEmpty, !owner.isOver { try owner.feed(input.take(piece)) }
}

/// What a connection does with a session, without a socket.
private final class Owner {
  private let session: Session
  private let role: Session.Role
  private var guardian = FloodGuard()
  private var outputs: [Int32: StreamOutput] = [:]
  private var choices: [UInt8]
  private var chosen = 0
  private var now: Int64 = 0
  private(set) var isOver = false

  init(_ role: Session.Role, choices: [UInt8]) throws {
    self.role = role
    self.choices = choices.isEmpty ? [0] : choices
    session = try Session(role)
    if role == .client {
      for _ in 0..<3 { try request() }
    }
    try drain()
  }

  private func choice() -> UInt8 {
    defer { chosen += 1 }
    return choices[chosen % choices.count]
  }

  private func request() throws {
    let output = StreamOutput()
    let headers: HeaderBlock = [":method": "POST", ":scheme": "http", ":path": "/a/b"]
    outputs[try session.request(headers: headers, output: output)] = output
  }

  func feed(_ bytes: [UInt8]) throws {
    now += 1_000_000
    do {
      try session.receive(ByteBuffer(bytes: bytes))
    } catch is HTTP2Error {
      isOver = true
    }
    try handleEvents()
    let violation = guardian.note(
      session.takeFrameCounts(), provoked: session.takeProvoked(), sent: session.takeSentFrames(), now: now)
    if let violation, !isOver { session.terminate(code: .enhanceYourCalm, reason: violation.rawValue) }
    act()
    try drain()
    if !session.isAlive { isOver = true }
  }

  /// What an owner does without having been told anything.
  private func act() {
    switch choice() {
    case 0..<8: session.submitPing()
    case 8..<16: session.submitShutdownNotice()
    case 16..<24: session.submitGoAway()
    case 24..<32: if role == .client, session.canRequest { try? request() }
    case 32..<40:  // a call fails while its messages still wait
      for (stream, output) in outputs.sorted(by: { $0.key < $1.key }) {
        output.discard()
        output.end(trailers: ["grpc-status": "13"])
        session.resume(stream: stream, output: output)
      }
    default: break
    }
  }

  private func handleEvents() throws {
    let events = session.takeEvents()
    for event in events {
      switch event {
      case .headers(let headers): try answer(headers)
      case .data(let stream, let chunk):
        if choice() & 1 == 0 { session.consume(stream: stream, bytes: chunk.readableBytes) }
      case .end(let stream): write(stream)
      case .closed(let stream, _): outputs[stream] = nil
      case .writable(let stream): write(stream)
      case .endSent(let stream): session.reset(stream: stream, code: .noError)
      case .settings, .goAway, .pong: break
      }
    }
    session.recycle(events)
  }

  private func answer(_ headers: Event.Headers) throws {
    // Every field lies inside the block.
    for field in headers.block {
      try require(field.value.upperBound <= headers.block.bytes.count, "a field ends behind its block")
    }
    guard role == .server, outputs[headers.stream] == nil else { return }
    let output = StreamOutput()
    switch choice() % 4 {
    case 0: try? session.respond(stream: headers.stream, headers: [":status": "200"], output: nil)
    case 1: session.reset(stream: headers.stream, code: .cancel)
    default:
      outputs[headers.stream] = output
      try? session.respond(stream: headers.stream, headers: [":status": "200"], output: output)
      session.notifyEnd(stream: headers.stream)
    }
  }

  private func write(_ stream: Int32) {
    guard let output = outputs[stream] else { return }
    output.append(ByteBuffer(repeating: 7, count: Int(choice()) * 40))
    if choice() & 1 == 0 { output.end(trailers: ["grpc-status": "0"]) } else { output.drainMark = 100 }
    session.resume(stream: stream, output: output)
  }

  private func drain() throws {
    var buffer = ByteBuffer()
    do {
      try session.drain(into: &buffer, limit: 1 << 20)
    } catch is HTTP2Error {
      isOver = true
    }
  }
}

import HTTP2
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import TestSupport
import Testing

@testable import RPC

/// `LoopRunner` and `LoopPace`: who always has more to do does not keep a loop from its other connections.
@Suite(.timeLimit(.minutes(2)))
struct LoopPaceTests {
  enum Kind {
    /// Always has more to write.
    case writing
    /// A task that each write makes ready again: one job a turn.
    case working
  }

  /// A connection that is never done, until it is stopped.
  /// `@unchecked Sendable`: `waiting` is only touched on the loop.
  private final class Busy: TurnDelegate, @unchecked Sendable {
    let runner: LoopRunner
    let turns = Counter()
    private let kind: Kind
    private let isOver = NIOLockedValueBox(false)
    private var waiting: UnsafeContinuation<Void, Never>?

    init(_ kind: Kind, loop: any EventLoop) {
      self.kind = kind
      runner = LoopRunner(loop: loop)
      runner.delegate = self
    }

    func start() {
      guard kind == .working else { return runner.loop.execute { self.runner.turn() } }
      Task(executorPreference: runner) {
        while !self.isOver.withLockedValue({ $0 }) { await withUnsafeContinuation { self.waiting = $0 } }
      }
    }

    func stop() { isOver.withLockedValue { $0 = true } }

    func turnEnded() -> Bool {
      turns.add(1)
      let ready = waiting
      waiting = nil
      ready?.resume()
      return kind == .writing && !isOver.withLockedValue { $0 }
    }
  }

  @Test(arguments: [[.writing], [.working], [.writing, .working, .working]] as [[Kind]])
  func aLoopServesItsOtherConnections(kinds: [Kind]) async throws {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    let server = Server(router: Echo.router, group: group)
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let client = Client(host: address.host, port: address.port)
    #expect(try await client.unary(Echo.say, "before") == "before")
    let busy = kinds.map { Busy($0, loop: group.next()) }
    for one in busy { one.start() }
    for _ in 0..<20 {
      #expect(await status { try await client.unary(Echo.say, "a", .timeout(.seconds(10))) } == nil)
    }
    let turns = busy.map(\.turns.value)
    try await eventually("each of them goes on") { zip(busy, turns).allSatisfy { $0.turns.value > $1 } }
    for one in busy { one.stop() }
    await client.close()
    await server.shutdown(grace: .zero)
    try await group.shutdownGracefully()
  }

  /// What waits is there at once, but its reader lets others go first in between, however short the messages are.
  @Test(arguments: [false, true])
  func aReaderGivesWay(isCompressed: Bool) async throws {
    let (read, release) = (Counter(), Gate())
    let call = NIOLockedValueBox<Call?>(nil)
    let readBefore = NIOLockedValueBox<Int?>(nil)
    var router = Router()
    router.clientStreaming(Echo.collect) { requests, _ in
      call.withLockedValue { $0 = requests.call }
      await release.wait()
      requests.call.loop.execute { readBefore.withLockedValue { $0 = read.value } }
      for try await _ in requests { read.add(1) }
      return ""
    }
    let server = Server(router: router)
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let peer = try await RawPeer.connect(to: address)
    var empty = Framing.frame(ByteBuffer())
    if isCompressed { empty = try #require(Gzip.compress(frame: empty, isForced: true)) }
    let count = 60_000 / empty.readableBytes
    let body = Array(repeatElement(Array(empty.readableBytesView), count: count).joined())
    let stream = try peer.request(
      path: Echo.collect.path, body: body, extra: isCompressed ? ["grpc-encoding": "gzip"] : [:])
    try await eventually("all of them wait") {
      guard let call = call.withLockedValue({ $0 }) else { return false }
      return try await call.loop.submit { call.deframer.bufferedBytes == body.count }.get()
    }
    await release.open()
    #expect(try await peer.trailers(stream)["grpc-status"] == "0")
    #expect(read.value == count)
    let first = try #require(readBefore.withLockedValue { $0 })
    #expect(first <= Call.readBytes / Call.readOverhead)
    await peer.close()
    await server.shutdown(grace: .zero)
  }
}

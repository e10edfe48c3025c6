import HTTP2
import NIOConcurrencyHelpers
import NIOCore
import TestSupport
import Testing

@testable import RPC

/// A task that writes on when its handler has returned OK: its writes fail, now and later.
@Suite(.timeLimit(.minutes(1)))
struct OutlivingWriterTests {
  private let outcome = NIOLockedValueBox<String?>(nil)

  private func write(_ responses: ResponseWriter<String>, _ text: String) async {
    var text = text
    do {
      try await responses.write(text)
      text = "written"
    } catch {
      text = "\(type(of: error))"
    }
    outcome.withLockedValue { [text] in $0 = text }
  }

  @Test(arguments: [0, 1])
  func aWriteAfterTheEnd(writtenBefore: Int) async throws {
    let isOver = Gate()
    var router = Router()
    router.serverStreaming(Echo.expand) { _, responses, _ in
      for _ in 0..<writtenBefore { try await responses.write("early") }
      Task {
        await isOver.wait()
        await write(responses, "late")
      }
    }
    try await withPair(router) { (client, _) async throws in
      var answers: [String] = []
      for try await answer in try await client.serverStreaming(Echo.expand, "") { answers.append(answer) }
      #expect(answers.count == writtenBefore)
      await isOver.open()
      try await eventually("the write ends") { outcome.withLockedValue { $0 } != nil }
      #expect(outcome.withLockedValue { $0 } == "CancellationError")
    }
  }

  /// The writer waits for a peer that takes nothing, and then goes away.
  @Test(arguments: [true, false])
  func aWriteThatWaitsAtTheEnd(resets: Bool) async throws {
    let release = Gate()
    let call = NIOLockedValueBox<Call?>(nil)
    var router = Router()
    router.serverStreaming(Echo.expand) { _, responses, _ in
      call.withLockedValue { $0 = responses.call }
      Task { await write(responses, String(repeating: "x", count: 2 * Call.highWater)) }
      await release.wait()
    }
    let server = Server(router: router)
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let peer = try await RawPeer.connect(to: address, window: 10)
    let stream = try peer.request(path: Echo.expand.path, body: peer.frame(""))
    try await eventually("the writer waits") {
      guard let call = call.withLockedValue({ $0 }) else { return false }
      return try await call.loop.submit { !call.hasRoom }.get()
    }
    let waiting = try #require(call.withLockedValue { $0 })
    await release.open()
    try await eventually("the handler has returned") {
      try await waiting.loop.submit { waiting.output?.isEnded == true }.get()
    }
    if resets { try peer.reset(stream) }
    await peer.close()
    try await eventually("the write ends", within: .seconds(10)) { outcome.withLockedValue { $0 } != nil }
    #expect(outcome.withLockedValue { $0 } == "CancellationError")
    await server.shutdown(grace: .zero)
  }
}

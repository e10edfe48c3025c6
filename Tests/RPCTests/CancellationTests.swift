import NIOConcurrencyHelpers
import NIOCore
import RPC
import Testing

@Suite(.timeLimit(.minutes(2)))
struct CancellationTests {
  @Test func cancellingTheTaskCancelsTheHandler() async throws {
    let (started, cancelled) = (Gate(), Gate())
    try await withPair(DeadlineTests.waiting(started, cancelled)) { (client, _) async throws in
      let task = Task { await status { try await client.unary(Echo.say, "a") } }
      await started.wait()
      task.cancel()
      #expect(await task.value?.code == .cancelled)
      await cancelled.wait()
    }
  }

  @Test func aTaskThatIsCancelledAlready() async throws {
    try await withPair { (client, _) async throws in
      let go = Gate()
      let task = Task {
        await go.wait()
        return await status { try await client.unary(Echo.say, "a") }
      }
      task.cancel()
      await go.open()
      #expect(await task.value?.code == .cancelled)
    }
  }

  /// Writes for ever; opens the gate when it is stopped.
  static func endless(_ started: Gate, _ stopped: Gate) -> Router {
    var router = Router()
    router.serverStreaming(Echo.expand) { _, responses, _ in
      await started.open()
      do {
        while true { try await responses.write("more") }
      } catch {
        await stopped.open()
        throw error
      }
    }
    return router
  }

  @Test func leavingAStreamEarlyStopsItsHandler() async throws {
    let (started, stopped) = (Gate(), Gate())
    try await withPair(Self.endless(started, stopped)) { (client, _) async throws in
      for try await message in try await client.serverStreaming(Echo.expand, "") {
        #expect(message == "more")
        break
      }
      await stopped.wait()
    }
  }

  @Test func droppingAStreamUnreadStopsItsHandler() async throws {
    let (started, stopped) = (Gate(), Gate())
    try await withPair(Self.endless(started, stopped)) { (client, _) async throws in
      do {
        let responses = try await client.serverStreaming(Echo.expand, "")
        await started.wait()
        withExtendedLifetime(responses) {}
      }
      await stopped.wait()
    }
  }

  @Test func whoWaitsForMetadataIsToldByStatus() async throws {
    let release = Gate()
    var router = Router()
    router.serverStreaming(Echo.expand) { _, _, _ in await release.wait() }
    try await withPair(router) { (client, _) async throws in
      let responses = try await client.serverStreaming(Echo.expand, "")
      let waiting = Task { await status { try await responses.initialMetadata } }
      waiting.cancel()
      #expect(await waiting.value?.code == .cancelled)
      await release.open()
    }
  }

  @Test func cancellingAReaderEndsItsStream() async throws {
    let (started, stopped) = (Gate(), Gate())
    var router = Router()
    router.serverStreaming(Echo.expand) { _, _, _ in
      await started.open()
      do { try await Task.sleep(for: .seconds(600)) } catch { await stopped.open() }
    }
    try await withPair(router) { (client, _) async throws in
      let task = Task {
        await status { for try await _ in try await client.serverStreaming(Echo.expand, "") {} }
      }
      await started.wait()
      task.cancel()
      #expect(await task.value?.code == .cancelled)
      await stopped.wait()
    }
  }

  @Test func aHandlerThatReadsSeesTheCancellation() async throws {
    let (started, stopped) = (Gate(), Gate())
    var router = Router()
    router.clientStreaming(Echo.collect) { requests, _ in
      do {
        for try await _ in requests { await started.open() }
      } catch {
        #expect(error is CancellationError)
        await stopped.open()
        throw error
      }
      return "the end"
    }
    try await withPair(router) { (client, _) async throws in
      let task = Task {
        await status {
          try await client.clientStreaming(Echo.collect) { requests in
            try await requests.write("a")
            try await Task.sleep(for: .seconds(600))
          }
        }
      }
      await started.wait()
      task.cancel()
      _ = await task.value
      await stopped.wait()
    }
  }

  struct Odd: Error {}

  @Test func aProducersErrorCancelsTheCallAndPassesOn() async throws {
    let (started, stopped) = (Gate(), Gate())
    var router = Router()
    router.clientStreaming(Echo.collect) { requests, _ in
      do { for try await _ in requests { await started.open() } } catch { await stopped.open() }
      return ""
    }
    try await withPair(router) { (client, _) async throws in
      await #expect(throws: Odd.self) {
        try await client.clientStreaming(Echo.collect) { requests in
          try await requests.write("a")
          await started.wait()
          throw Odd()
        }
      }
      await stopped.wait()
    }
  }

  @Test func theServerMayAnswerBeforeTheRequestsEnd() async throws {
    var router = Router()
    router.clientStreaming(Echo.collect) { requests, _ in
      for try await request in requests {
        if request == "bad" { throw Status(.invalidArgument, "a bad one") }
        return request
      }
      return "nothing"
    }
    try await withPair(router) { (client, _) async throws in
      let first = try await client.clientStreaming(Echo.collect) { requests in
        while true { try await requests.write("again") }
      }
      #expect(first == "again")
      let bad = await status {
        try await client.clientStreaming(Echo.collect) { requests in
          while true { try await requests.write("bad") }
        }
      }
      #expect(bad == Status(.invalidArgument, "a bad one"))
    }
  }

  @Test func bothFormsOfBidirectionalEndTheirCalls() async throws {
    let ended = NIOLockedValueBox(0)
    let done = Gate()
    var router = Router()
    router.bidirectional(Echo.chat) { requests, responses, _ in
      do {
        for try await request in requests { try await responses.write(request) }
      } catch {
        if ended.withLockedValue({ $0 += 1; return $0 }) == 2 { await done.open() }
        throw error
      }
    }
    try await withPair(router) { (client, _) async throws in
      let first = try await client.bidirectional(Echo.chat) { requests, responses in
        try await requests.write("one")
        for try await message in responses { return message }
        return "none"
      }
      #expect(first == "one")
      for try await message in try await client.bidirectional(
        Echo.chat, .init(), { (requests: RequestWriter<String>) in
          try await requests.write("two")
          try await Task.sleep(for: .seconds(600))
        })
      {
        #expect(message == "two")
        break
      }
      await done.wait()
    }
  }
}

import Messages
import RPC
import ServiceTestSupport
import Storage
import Stubs
import Synchronization
import TestSupport
import Testing

@testable import ServiceKit

@Suite(.timeLimit(.minutes(3))) struct DeliveryTests {
  @Test(arguments: TestEngine.allCases) func everythingArrivesOnceAndInOrder(_ engine: TestEngine) async throws {
    let (sender, receiver) = (try await Sender(engine), try await Receiver(engine))
    try await receiver.start()
    try await sender.send("m", 1...2_000)
    try await sender.relaying(to: receiver) {
      for sequence in UInt64(2_001)...2_100 { try await sender.send("m", sequence...sequence) }
      try await eventually("all delivered") { try await sender.waiting() == 0 }
    }
    let expected = (1...2_100).map { "m:\($0)" }
    #expect(try await receiver.stored() == expected)
    #expect(receiver.announced.withLock { $0 } == expected)
    #expect(receiver.database.statistics.writes < 1_000, "what has arrived is taken in together")
    #expect(sender.log.lines.isEmpty && receiver.log.lines.isEmpty)
    await receiver.close()
    await sender.database.close()
  }

  /// The receiver is cut off at random moments, also between its commit and its receipts.
  @Test(arguments: TestEngine.allCases) func brokenCallsLoseAndDoubleNothing(_ engine: TestEngine) async throws {
    var random = SeededRandom()
    let (sender, receiver) = (try await Sender(engine), try await Receiver(engine))
    try await receiver.start()
    let missions = 5
    let each: UInt64 = 400
    try await sender.relaying(to: receiver) {
      for start in stride(from: UInt64(1), through: each, by: 20) {
        for mission in 0..<missions { try await sender.send("m\(mission)", start...(start + 19)) }
        if Int.random(in: 0..<3, using: &random) == 0 {
          let before = receiver.announced.withLock { $0.count }
          let more = Int.random(in: 0..<60, using: &random)
          try await eventually("some more arrived") {
            let arrived = receiver.announced.withLock { $0.count }
            if arrived >= before + more { return true }
            return try await sender.waiting() == 0
          }
          await receiver.stop()
          try await receiver.start()
        }
      }
      try await eventually("all delivered") { try await sender.waiting() == 0 }
    }
    let stored = try await receiver.stored()
    #expect(stored.count == missions * Int(each))
    for mission in 0..<missions {
      #expect(stored.filter { $0.hasPrefix("m\(mission):") } == (1...each).map { "m\(mission):\($0)" })
    }
    #expect(try await sender.refused().isEmpty)
    await receiver.close()
    await sender.database.close()
  }

  @Test(arguments: TestEngine.allCases) func whatCannotBeTakenIsSetAside(_ engine: TestEngine) async throws {
    let sender = try await Sender(engine)
    let receiver = try await Receiver(engine) { event in
      switch event.sequence {
      case 2: throw Status(.failedPrecondition, "a gap")
      case 4: throw StorageError.constraint(.unique, "event.number")
      default: break
      }
    }
    try await receiver.start()
    try await sender.relaying(to: receiver, topics: ["event", "unknown"]) {
      try await sender.send("m", 1...5)
      try await sender.send(key: "garbled", payload: [255, 255])
      try await sender.send(topic: "unknown", key: "k", payload: [])
      try await sender.send(key: "large", payload: [UInt8](repeating: 0, count: 4 << 20))
      try await sender.send("n", 1...1)
      try await eventually("all delivered") { try await sender.waiting() == 0 }
    }
    #expect(try await receiver.stored() == ["m:1", "m:3", "m:5", "n:1"])
    #expect(receiver.announced.withLock { $0 } == ["m:1", "m:3", "m:5", "n:1"])
    let refused = try await sender.refused()
    #expect(refused.map(\.key) == ["m", "m", "garbled", "k", "large"])
    #expect(refused[0].reason == "FAILED_PRECONDITION: a gap")
    #expect(refused[1].reason == "ALREADY_EXISTS: it exists already")
    #expect(refused[2].reason.contains("buddy.progress.v1.ProgressEvent"))
    #expect(refused[3].reason.contains("\"unknown\""))
    #expect(refused[4].reason.contains("can be delivered"))
    let told = sender.log.lines.filter { $0.hasPrefix("error") }
    #expect(told.count == 5 && sender.log.lines.count == 5)
    #expect(receiver.log.lines.count == 1, "only what is the receiver's own fault is in its log")
    await receiver.close()
    await sender.database.close()
  }

  @Test(arguments: TestEngine.allCases) func aRefusedMessageCanBeTakenLater(_ engine: TestEngine) async throws {
    let isOpen = Mutex(false)
    let sender = try await Sender(engine)
    let receiver = try await Receiver(engine) { event in
      if event.sequence == 1, !isOpen.withLock({ $0 }) { throw Status(.notFound, "no such mission") }
    }
    try await receiver.start()
    try await sender.relaying(to: receiver) {
      try await sender.send("m", 1...2)
      try await eventually("one is set aside") { try await sender.refused().count == 1 }
      isOpen.withLock { $0 = true }
      let id = try await sender.refused()[0].messageID
      _ = try await RefusedDeliveries.retry(RetryRefusedRequest(id: id), sender.database)
      try await eventually("both are delivered") { try await receiver.stored() == ["m:2", "m:1"] }
      try await eventually("nothing is left") { try await sender.waiting() == 0 }
    }
    #expect(try await sender.refused().isEmpty)
    await receiver.close()
    await sender.database.close()
  }

  @Test(arguments: TestEngine.allCases) func whatMayPassIsTriedAgain(_ engine: TestEngine) async throws {
    let failures = Mutex(6)
    let sender = try await Sender(engine)
    let receiver = try await Receiver(engine) { event in
      guard event.sequence == 3 else { return }
      let left = failures.withLock { failures in
        failures -= 1
        return failures
      }
      if left >= 3 { throw StorageError.diskFull("in a test") }
      if left >= 0 { throw Status(.unavailable, "in a test") }
    }
    try await receiver.start()
    try await sender.relaying(to: receiver) {
      try await sender.send("m", 1...5)
      try await eventually("all delivered") { try await sender.waiting() == 0 }
    }
    #expect(try await receiver.stored() == (1...5).map { "m:\($0)" })
    #expect(try await sender.refused().isEmpty)
    #expect(sender.log.lines.contains { $0.hasPrefix("warning") && $0.contains("RESOURCE_EXHAUSTED") })
    await receiver.close()
    await sender.database.close()
  }

  @Test(arguments: TestEngine.allCases) func stoppingEndsConversationsInOrder(_ engine: TestEngine) async throws {
    let (sender, receiver) = (try await Sender(engine), try await Receiver(engine))
    try await receiver.start()
    try await sender.relaying(to: receiver) {
      try await sender.send("m", 1...1)
      try await eventually("delivered") { try await sender.waiting() == 0 }
      await receiver.stop(inOrder: true)
      try await sender.send("m", 2...2)
      try await receiver.start()
      try await eventually("delivered to the next one") { try await sender.waiting() == 0 }
    }
    #expect(try await receiver.stored() == ["m:1", "m:2"])
    await receiver.close()
    await sender.database.close()
  }

  @Test(arguments: TestEngine.allCases) func repetitionsOnTheWireAreReceiptedAsSuch(_ engine: TestEngine) async throws {
    let receiver = try await Receiver(engine)
    try await receiver.start()
    let inbox = InboxClient(Client(host: "127.0.0.1", port: receiver.port))
    let payload = try ProgressEvent(missionId: "m", sequence: 1).bytes()
    let ids = ["a", "a", "b", "", String(repeating: "x", count: 201), "a"]
    let outcomes = try await inbox.deliver(.timeout(.seconds(30))) { requests, receipts in
      for id in ids { try await requests.write(Delivery(id: id, topic: "event", key: "m", payload: payload)) }
      requests.finish()
      var outcomes: [DeliveryOutcome] = []
      for try await receipt in receipts {
        #expect(receipt.id == ids[outcomes.count])
        outcomes.append(receipt.outcome)
      }
      return outcomes
    }
    #expect(outcomes == [.taken, .repeated, .taken, .refused, .refused, .repeated])
    await receiver.close()
  }
}

@Suite(.timeLimit(.minutes(1))) struct DeliveryQueueTests {
  @Test func itHoldsNoMoreThanItsLimits() async throws {
    let queue = DeliveryQueue(largestCount: 3, largestBytes: 100)
    let put = Mutex(0)
    let producer = Task {
      for number in 0..<10 {
        let payload = [UInt8](repeating: 0, count: number == 4 ? 1_000 : 1)
        guard await queue.put(Delivery(id: "\(number)", payload: payload)) else { return }
        put.withLock { $0 += 1 }
      }
      queue.finish()
    }
    try await eventually("it is full") { put.withLock { $0 } == 3 }
    var taken: [[String]] = []
    while let batch = await queue.takeAll() {
      #expect(batch.count <= 3)
      taken.append(batch.map(\.id))
    }
    await producer.value
    #expect(taken.joined().elementsEqual((0..<10).map { "\($0)" }))
    #expect(await !queue.put(Delivery(id: "late")))
    #expect(await queue.takeAll() == nil)
  }

  @Test func cancellingEndsBothWaits() async {
    let queue = DeliveryQueue(largestCount: 1, largestBytes: 1)
    let taker = Task { await queue.takeAll() }
    taker.cancel()
    #expect(await taker.value == nil)
    _ = await queue.put(Delivery(id: "a"))
    let putter = Task { await queue.put(Delivery(id: "b")) }
    putter.cancel()
    #expect(await !putter.value)
  }
}

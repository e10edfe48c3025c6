import ServiceTestSupport
import Storage
import Synchronization
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(3))) struct OutboxRelayTests {
  @Test(arguments: TestEngine.allCases) func deliversInOrderAndEmpties(_ engine: TestEngine) async throws {
    let fixture = try await OutboxFixture(engine)
    let receiver = ScriptedReceiver()
    let keys = (1...1_000).map { "k\($0)" }
    try await fixture.add(Array(keys[..<500]))
    try await fixture.add(["other"], topic: "another")
    try await fixture.relaying(fixture.relay(receiver)) {
      for key in keys[500...] { try await fixture.add([key]) }
      try await eventually("all delivered") { try await fixture.waiting() == 0 }
    }
    #expect(receiver.seen.taken == keys)
    #expect(receiver.seen.rows.allSatisfy { $0.payload == Array($0.key.utf8) && $0.topic == "t" })
    #expect(receiver.seen.conversations == 1 && receiver.seen.repetitions == 0)
    #expect(try await fixture.waiting("another") == 1)
    await fixture.database.close()
  }

  @Test(arguments: TestEngine.allCases) func severalTopicsShareOneOrder(_ engine: TestEngine) async throws {
    let fixture = try await OutboxFixture(engine)
    let receiver = ScriptedReceiver()
    var random = SeededRandom()
    let keys = (1...400).map { "k\($0)" }
    for key in keys { try await fixture.add([key], topic: Bool.random(using: &random) ? "one" : "two") }
    try await fixture.relaying(fixture.relay(receiver, topics: ["one", "two"])) {
      try await eventually("all delivered") { receiver.seen.taken.count == keys.count }
    }
    #expect(receiver.seen.taken == keys)
    await fixture.database.close()
  }

  @Test(arguments: TestEngine.allCases) func breaksLoseAndDoubleNothing(_ engine: TestEngine) async throws {
    let random = Mutex(SeededRandom())
    let fixture = try await OutboxFixture(engine)
    let receiver = ScriptedReceiver { _, _ in
      switch random.withLock({ Int.random(in: 0..<40, using: &$0) }) {
      case 0: .lose
      case 1: .takeAndBreak
      case 2: .confuse
      default: .take
      }
    }
    let keys = (1...600).map { "k\($0)" }
    try await fixture.relaying(fixture.relay(receiver)) {
      for start in stride(from: 0, to: keys.count, by: 20) { try await fixture.add(Array(keys[start..<(start + 20)])) }
      try await eventually("all delivered") { try await fixture.waiting() == 0 }
    }
    #expect(receiver.seen.taken == keys)
    #expect(receiver.seen.conversations > 1)
    await fixture.database.close()
  }

  @Test(arguments: TestEngine.allCases) func commitsWakeTheRelay(_ engine: TestEngine) async throws {
    let fixture = try await OutboxFixture(engine)
    let receiver = ScriptedReceiver()
    // Polling cannot be what delivers: it would take an hour.
    try await fixture.relaying(fixture.relay(receiver)) {
      for round in 1...20 {
        try await fixture.add(["k\(round)"])
        try await eventually("delivered") { receiver.seen.taken.count == round }
      }
    }
    await fixture.database.close()
  }

  @Test(arguments: TestEngine.allCases) func withoutAReceiptItIsSentAfterARestart(_ engine: TestEngine) async throws {
    let fixture = try await OutboxFixture(engine)
    try await fixture.add(["a", "b"])
    // Stopped here, after the receiver had them.
    let receiver = ScriptedReceiver { _, conversation in conversation == 1 ? .takeInSilence : .take }
    try await fixture.relaying(fixture.relay(receiver)) {
      try await eventually("delivered once") { receiver.seen.taken == ["a", "b"] }
    }
    await fixture.database.close()

    let again = try await fixture.store.open(OutboxFixture.migrations)
    let relay = OutboxRelay(again, destination: "test", topics: ["t"], transport: receiver)
    let task = Task { await relay.run() }
    try await eventually("delivered again") { try await again.read { try Outbox.waiting(topic: "t", in: $0) } == 0 }
    #expect(receiver.seen.taken == ["a", "b"] && receiver.seen.repetitions == 2)
    task.cancel()
    await task.value
    await again.close()
  }

  @Test(arguments: TestEngine.allCases) func aRefusedMessageHoldsUpNobody(_ engine: TestEngine) async throws {
    let fixture = try await OutboxFixture(engine)
    let receiver = ScriptedReceiver { row, _ in
      switch row.payload.first {
      case UInt8(ascii: "!"): .refuse("poisoned")
      case UInt8(ascii: "#"): .cannotSend
      default: .take
      }
    }
    try await fixture.database.write { connection in
      for (key, text) in [("a", "1"), ("b", "!"), ("c", "2"), ("b", "3"), ("d", "#"), ("d", "4"), ("a", "5")] {
        try Outbox.add(topic: "t", key: key, payload: Array(text.utf8), in: connection)
      }
    }
    try await fixture.relaying(fixture.relay(receiver)) {
      try await eventually("the others are delivered") { try await fixture.waiting() == 0 }
    }
    #expect(receiver.seen.rows.map { String(decoding: $0.payload, as: UTF8.self) } == ["1", "2", "3", "4", "5"])
    #expect(try await fixture.refused().map(\.key) == ["b", "d"])
    #expect(try await fixture.refused().map(\.reason) == ["poisoned", "too large"])
    #expect(receiver.seen.conversations == 1)
    await fixture.database.close()
  }

  @Test(arguments: TestEngine.allCases) func theWindowIsFilledAndNeverExceeded(_ engine: TestEngine) async throws {
    let fixture = try await OutboxFixture(engine)
    let receiver = HoldingReceiver(window: 48)
    let count = 48 * 6
    try await fixture.add((1...count).map { "k\($0)" })
    var options = OutboxFixture.options
    (options.window, options.batch) = (48, 20)
    try await fixture.relaying(fixture.relay(receiver, options: options)) {
      try await eventually("all delivered") { try await fixture.waiting() == 0 }
    }
    #expect(receiver.largest == 48)
    #expect(receiver.total == count)
    await fixture.database.close()
  }

  @Test(arguments: TestEngine.allCases) func aReceiverMayBeAwayForLong(_ engine: TestEngine) async throws {
    let fixture = try await OutboxFixture(engine)
    let receiver = ScriptedReceiver { _, conversation in conversation <= 100 ? .lose : .take }
    let keys = (1...50).map { "k\($0)" }
    try await fixture.relaying(fixture.relay(receiver)) {
      for key in keys { try await fixture.add([key]) }
      try await eventually("all delivered") { try await fixture.waiting() == 0 }
    }
    #expect(receiver.seen.taken == keys && receiver.seen.repetitions == 0)
    await fixture.database.close()
  }

  @Test(arguments: TestEngine.allCases) func aSilentReceiverIsGivenUpAndTriedAnew(_ engine: TestEngine) async throws {
    let fixture = try await OutboxFixture(engine)
    let receiver = ScriptedReceiver { _, conversation in conversation == 1 ? .takeInSilence : .take }
    try await fixture.add(["a"])
    var options = OutboxFixture.options
    options.receiptTimeout = .milliseconds(40)
    try await fixture.relaying(fixture.relay(receiver, options: options)) {
      try await eventually("delivered again") { try await fixture.waiting() == 0 }
    }
    #expect(receiver.seen.conversations >= 2 && receiver.seen.repetitions == 1)
    await fixture.database.close()
  }

  @Test(arguments: TestEngine.allCases) func whileThereIsNothingToSayNobodyIsCalled(_ engine: TestEngine) async throws {
    let fixture = try await OutboxFixture(engine)
    let receiver = ScriptedReceiver()
    try await fixture.relaying(fixture.relay(receiver)) {
      try await fixture.database.write { connection in
        try Outbox.add(topic: "other", key: "k", payload: [], in: connection)
      }
      #expect(receiver.seen.conversations == 0)
    }
    #expect(receiver.seen.conversations == 0)
    await fixture.database.close()
  }

  /// As two processes do that share a database: each message is taken once, and those of a key in their order.
  @Test(arguments: TestEngine.allCases) func twoRelaysOfTheSameTopicDoNoHarm(_ engine: TestEngine) async throws {
    let fixture = try await OutboxFixture(engine)
    let random = Mutex(SeededRandom())
    let receiver = ScriptedReceiver { _, _ in
      random.withLock { Int.random(in: 0..<60, using: &$0) } == 0 ? .takeAndBreak : .take
    }
    let numbers = Array(1...400)
    try await fixture.relaying(fixture.relay(receiver), fixture.relay(receiver)) {
      for number in numbers { try await fixture.add(["\(number % 7):\(number)"]) }
      try await eventually("all delivered") { try await fixture.waiting() == 0 }
    }
    let taken = receiver.seen.taken.map { $0.split(separator: ":").map { Int($0) ?? 0 } }
    #expect(taken.count == numbers.count)
    for key in 0..<7 {
      let order = taken.filter { $0[0] == key }.map { $0[1] }
      #expect(order == order.sorted())
    }
    await fixture.database.close()
  }

  @Test(arguments: TestEngine.allCases) func closingTheDatabaseEndsTheRelay(_ engine: TestEngine) async throws {
    let fixture = try await OutboxFixture(engine)
    let relay = fixture.relay(ScriptedReceiver())
    let task = Task { await relay.run() }
    await fixture.database.close()
    await task.value
  }
}

/// Answers only once as much is on its way as the window allows.
private final class HoldingReceiver: DeliveryTransport {
  private struct State {
    var held: [OutboxReceipt] = []
    var unreceipted = 0
    var largest = 0
    var total = 0
  }

  private let window: Int
  private let state = Mutex(State())

  init(window: Int) { self.window = window }

  var largest: Int { state.withLock { $0.largest } }
  var total: Int { state.withLock { $0.total } }

  func converse(_ body: @escaping @Sendable (DeliveryConversation) async throws -> Void) async throws {
    let (receipts, answers) = AsyncStream.makeStream(of: OutboxReceipt.self)
    try await body(
      DeliveryConversation { [window, self] row in
        let released = state.withLock { state in
          state.total += 1
          state.held.append(OutboxReceipt(messageID: row.messageID, outcome: .taken))
          state.unreceipted += 1
          state.largest = max(state.largest, state.unreceipted)
          guard state.held.count == window else { return [OutboxReceipt]() }
          defer { state.held = [] }
          return state.held
        }
        for receipt in released { answers.yield(receipt) }
      } receipts: { [self] each in
        for await receipt in receipts {
          state.withLock { $0.unreceipted -= 1 }
          try each(receipt)
        }
      })
  }
}

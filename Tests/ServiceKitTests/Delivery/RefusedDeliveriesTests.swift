import Foundation
import Messages
import RPC
import ServiceTestSupport
import Storage
import Synchronization
import TestSupport
import Testing

@testable import ServiceKit

@Suite(.timeLimit(.minutes(1))) struct RefusedDeliveriesTests {
  @Test(arguments: TestEngine.allCases) func pagesRetriesAndDrops(_ engine: TestEngine) async throws {
    let (sender, receiver) = (try await Sender(engine), try await Receiver(engine) { _ in throw Status(.outOfRange) })
    try await receiver.start()
    try await sender.relaying(to: receiver) {
      try await sender.send("m", 1...5)
      try await eventually("all refused") { try await sender.refused().count == 5 }
    }
    var (shown, token) = ([RefusedDelivery](), "")
    repeat {
      let request = ListRefusedRequest(page: PageRequest(size: 2, token: token))
      let page = try await RefusedDeliveries.list(request, sender.database)
      #expect(page.deliveries.count <= 2)
      shown += page.deliveries
      token = page.nextPageToken
    } while !token.isEmpty
    #expect(try await sender.refused().map(\.messageID) == shown.map(\.id))
    #expect(shown.allSatisfy { $0.topic == "event" && $0.key == "m" && $0.reason == "OUT_OF_RANGE" })
    #expect(shown.allSatisfy { $0.payloadSize > 0 && $0.createdAt != nil && $0.refusedAt != nil })

    let dropped = try await RefusedDeliveries.drop(DropRefusedRequest(id: shown[0].id), sender.database)
    #expect(dropped == shown[0])
    let retried = try await RefusedDeliveries.retry(RetryRefusedRequest(id: shown[1].id), sender.database)
    #expect(retried == shown[1])
    #expect(try await sender.waiting() == 1)
    for id in [shown[0].id, shown[1].id, ""] {
      await #expect { try await RefusedDeliveries.retry(RetryRefusedRequest(id: id), sender.database) } throws: {
        ($0 as? Status)?.code == .notFound
      }
      await #expect { try await RefusedDeliveries.drop(DropRefusedRequest(id: id), sender.database) } throws: {
        ($0 as? Status)?.code == .notFound
      }
    }
    let foreign = ListRefusedRequest(page: PageRequest(token: Page.token(after: "x")))
    await #expect(throws: Status.self) { try await RefusedDeliveries.list(foreign, sender.database) }
    await receiver.close()
    await sender.database.close()
  }

  @Test(arguments: TestEngine.allCases) func aServiceWithoutAnOutboxHasNone(_ engine: TestEngine) async throws {
    let receiver = try await Receiver(engine)
    #expect(try await RefusedDeliveries.list(.init(), receiver.database).deliveries.isEmpty)
    await #expect { try await RefusedDeliveries.drop(.init(id: "a"), receiver.database) } throws: {
      ($0 as? Status)?.code == .notFound
    }
    await receiver.close()
  }

  /// Not "none": nobody knows.
  @Test(arguments: TestEngine.allCases) func aDamagedOutboxIsAFailure(_ engine: TestEngine) async throws {
    let sender = try await Sender(engine)
    try await sender.database.write { _ = try $0.execute("ALTER TABLE outbox RENAME COLUMN topic TO other") }
    await #expect(throws: StorageError.self) { try await RefusedDeliveries.list(.init(), sender.database) }
    await sender.database.close()
  }
}

@Suite(.timeLimit(.minutes(1))) struct PrunerTests {
  @Test(arguments: TestEngine.allCases) func prunesInBatchesAgainAndAgain(_ engine: TestEngine) async throws {
    struct Failed: Error {}
    let receiver = try await Receiver(engine)
    let log = LogRecorder()
    let left = Mutex(25)
    let calls = Mutex(0)
    let pruner = Pruner(
      "test", receiver.database, retention: .seconds(60), interval: .milliseconds(1), batch: 10, logger: log.logger
    ) { before, limit, _ in
      #expect(before.timeIntervalSinceNow < -59)
      let call = calls.withLock { calls in
        calls += 1
        return calls
      }
      if call == 2 { throw Failed() }
      return left.withLock { left in
        defer { left -= min(left, limit) }
        return min(left, limit)
      }
    }
    let task = Task { await pruner.run() }
    try await eventually("all pruned, and looked again") { calls.withLock { $0 } > 6 && left.withLock { $0 } == 0 }
    #expect(log.lines.count == 1)
    await receiver.database.close()
    await task.value
  }
}

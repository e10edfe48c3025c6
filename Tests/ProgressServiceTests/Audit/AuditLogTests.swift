import Crypto
import Foundation
import Messages
import NIOCore
import ServiceTestSupport
import Storage
import Testing

@testable import ProgressService

@Suite(.timeLimit(.minutes(2))) struct AuditLogTests {
  private func event(_ sequence: UInt64, of mission: String = "m", actor: String = "") -> ProgressEvent {
    ProgressEvent(
      missionId: mission, sequence: sequence, type: .stepProgress, step: .execution, message: "piece \(sequence)",
      state: .running, actor: actor)
  }

  private func events(_ range: ClosedRange<UInt64>, of mission: String = "m") -> [ProgressEvent] {
    range.map { event($0, of: mission) }
  }

  private func open(_ store: TestStore) async throws -> EventLog {
    EventLog(database: try await store.open(migrations), hub: EventHub())
  }

  private func all(_ log: AuditLog) async throws -> [AuditEntry] {
    var entries: [AuditEntry] = []
    while true {
      let piece = try await log.read(after: Int64(entries.last?.number ?? 0), limit: 7)
      if piece.isEmpty { return entries }
      entries += piece
    }
  }

  /// The chain as the proto defines it, computed here from what was handed out.
  private func expectChain(_ entries: [AuditEntry]) {
    var previous = [UInt8](repeating: 0, count: 32)
    for (index, entry) in entries.enumerated() {
      #expect(entry.number == UInt64(index + 1))
      #expect(entry.previousHash == previous)
      var bytes = previous
      for shift in stride(from: 56, through: 0, by: -8) { bytes.append(UInt8(entry.number >> UInt64(shift) & 0xFF)) }
      #expect(entry.hash == Array(SHA256.hash(data: bytes + entry.event)))
      previous = entry.hash
    }
  }

  @Test(arguments: TestEngine.allCases) func everyEventIsAnEntryOfOneChain(_ engine: TestEngine) async throws {
    let store = try await TestStore(engine)
    let log = try await open(store)
    #expect(try await log.audit.check().problem == nil, "an empty log is whole")
    // More than are added in one statement.
    _ = try await log.record(events(1...40))
    _ = try await log.record(events(41...41))
    _ = try await log.record(events(1...3, of: "n"))
    let entries = try await all(log.audit)
    #expect(entries.count == 44)
    expectChain(entries)
    #expect(try ProgressEvent(wire: entries[40].event) == event(41))
    let check = try await log.audit.check()
    #expect(check.problem == nil)
    #expect(check.head == AuditHead(number: 44, hash: entries[43].hash))
    await log.database.close()
    withExtendedLifetime(store) {}
  }

  @Test(arguments: TestEngine.allCases) func whatIsDeliveredTwiceIsOneEntry(_ engine: TestEngine) async throws {
    let store = try await TestStore(engine)
    let log = try await open(store)
    for _ in 0..<3 { _ = try await log.record(events(1...5)) }
    _ = try await log.record(events(3...7))
    #expect(try await all(log.audit).map(\.number) == Array(1...7))
    await log.database.close()
    withExtendedLifetime(store) {}
  }

  @Test(arguments: TestEngine.allCases) func whatIsRefusedLeavesNoEntry(_ engine: TestEngine) async throws {
    let store = try await TestStore(engine)
    let log = try await open(store)
    _ = try await log.record(events(1...2))
    await #expect(throws: (any Error).self) { try await log.record(events(3...4) + events(9...9)) }
    _ = try await log.record(events(3...3))
    #expect(try await all(log.audit).count == 3)
    #expect(try await log.audit.check().problem == nil)
    await log.database.close()
    withExtendedLifetime(store) {}
  }

  @Test(arguments: TestEngine.allCases) func manyAtOnceMakeOneChain(_ engine: TestEngine) async throws {
    let store = try await TestStore(engine)
    let log = try await open(store)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for mission in 0..<40 {
        group.addTask {
          for sequence in UInt64(1)...10 {
            _ = try await log.record(events(sequence...sequence, of: "m\(mission)"))
            // Some are refused between the others.
            if mission % 5 == 0 { _ = try? await log.record(events(50...50, of: "m\(mission)")) }
          }
        }
      }
      try await group.waitForAll()
    }
    let entries = try await all(log.audit)
    #expect(entries.count == 400)
    expectChain(entries)
    #expect(try await log.audit.check().problem == nil)
    await log.database.close()
    withExtendedLifetime(store) {}
  }

  @Test func twoProcessesKeepOneChain() async throws {
    let store = try await TestStore(.postgres)
    let logs = [try await open(store), try await open(store)]
    try await withThrowingTaskGroup(of: Void.self) { group in
      for (index, log) in logs.enumerated() {
        for mission in 0..<10 {
          group.addTask {
            for sequence in UInt64(1)...10 {
              _ = try await log.record(events(sequence...sequence, of: "\(index) \(mission)"))
            }
          }
        }
      }
      // The chain is whole at any moment.
      group.addTask {
        for _ in 0..<5 {
          let problem = try await logs[0].audit.check().problem
          #expect(problem == nil)
        }
      }
      try await group.waitForAll()
    }
    let entries = try await all(logs[1].audit)
    #expect(entries.count == 200)
    expectChain(entries)
    for log in logs { await log.database.close() }
    withExtendedLifetime(store) {}
  }

  @Test(arguments: TestEngine.allCases) func entriesAreFoundByMissionAndActor(_ engine: TestEngine) async throws {
    let store = try await TestStore(engine)
    let log = try await open(store)
    let longName = String(repeating: "é", count: 5_000)
    _ = try await log.record([
      event(1), event(2, actor: "ada"), event(1, of: "n", actor: "ada"), event(3, actor: longName), event(2, of: "n"),
    ])
    func numbers(_ mission: String, _ actor: String) async throws -> [UInt64] {
      try await log.audit.read(after: 0, mission: mission, actor: actor).map(\.number)
    }
    let byMission = try await numbers("m", "")
    #expect(byMission.count == 3)
    #expect(try await numbers("", "ada").count == 2)
    #expect(try await numbers("n", "ada").count == 1)
    #expect(try await numbers("", "buddy").count == 2)
    #expect(try await numbers("", longName).count == 1)
    #expect(try await numbers("", "grace").isEmpty)
    expectPrevious(try await log.audit.read(after: 0, mission: "n"), among: try await all(log.audit))
    await log.database.close()
    withExtendedLifetime(store) {}
  }

  private func expectPrevious(_ some: [AuditEntry], among all: [AuditEntry]) {
    for entry in some { #expect(all[Int(entry.number) - 1] == entry) }
  }

  @Test func anEntrySaysWhoDidWhat() throws {
    func entry(_ event: ProgressEvent) throws -> AuditEntry {
      AuditEntry(
        AuditRecord(number: 7, missionID: "m", actor: "", event: try event.bytes(), hash: [1]), previousHash: [2])
    }
    let step = try entry(event(3))
    #expect((step.actor, step.action, step.detail) == ("buddy", "STEP_PROGRESS", "execution: piece 3"))
    let cancelled = try entry(
      ProgressEvent(
        missionId: "m", sequence: 4, type: .stateChanged, message: "cancelled by ada", state: .cancelled, actor: "ada",
        change: MissionChange(command: .cancel, actor: "ada", reason: "too slow")))
    #expect((cancelled.actor, cancelled.action) == ("ada", "CANCEL"))
    #expect(cancelled.detail == "CANCELLED: cancelled by ada: too slow")
    let running = try entry(ProgressEvent(missionId: "m", sequence: 4, type: .stateChanged, state: .running))
    #expect((running.action, running.detail) == ("STATE_CHANGED", "RUNNING"))
    let modified = try entry(
      ProgressEvent(
        missionId: "m", sequence: 4, type: .missionChanged, state: .running,
        change: MissionChange(command: .modify, actor: "ada", fields: ["budget", "priority"])))
    #expect((modified.actor, modified.action, modified.detail) == ("ada", "MODIFY", "budget, priority"))
    let unreadable = AuditEntry(
      AuditRecord(number: 7, missionID: "m", actor: "x", event: [0xFF], hash: [1]), previousHash: [2])
    #expect(unreadable.missionId.isEmpty && unreadable.event == [0xFF])
  }

  /// Append-only by code: nothing of the service but the log's own statements writes to its tables.
  @Test func noCodeChangesOrDeletesAnEntry() throws {
    let tests = URL(filePath: #filePath).deletingLastPathComponent()
    let service = tests.appending(path: "../../../services/progress").standardized
    let files = try #require(FileManager.default.enumerator(at: service, includingPropertiesForKeys: nil))
    var looked = 0
    for case let file as URL in files where ["swift", "sql"].contains(file.pathExtension) {
      let text = try String(contentsOf: file, encoding: .utf8).lowercased()
        .split(whereSeparator: \.isWhitespace).joined(separator: " ")
      looked += 1
      for statement in ["update audit", "delete from audit", "drop table audit", "truncate", "replace into audit"] {
        #expect(!text.contains(statement), "\(file.lastPathComponent): \(statement)")
      }
    }
    #expect(looked > 10)
  }
}

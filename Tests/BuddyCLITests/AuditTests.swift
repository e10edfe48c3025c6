import ArgumentParser
import Foundation
import Messages
import NIOHTTP1
import ServiceKit
import Synchronization
import TestSupport
import Testing

@testable import BuddyCLI

@Suite("The audit log", .timeLimit(.minutes(1)))
struct AuditTests {
  /// A chain of entries, made by the definition in audit.proto.
  static func chain(_ count: Int) throws -> [AuditEntry] {
    var previous = [UInt8](repeating: 0, count: 32)
    return try (1...count).map { number in
      let time = GoogleProtobufTimestamp(seconds: Int64(number), nanos: 5)
      let person = number % 2 == 0 ? "ann" : ""
      let event = ProgressEvent(
        missionId: "m-\(number % 3)", sequence: UInt64(number), time: time, type: .stateChanged,
        message: "run \(number)", state: .running, actor: person)
      let bytes = try event.bytes()
      let places = (0..<8).map { UInt8(truncatingIfNeeded: number >> (56 - 8 * $0)) }
      let digits = Array(SHA.hexadecimal(previous + places + bytes))
      let hash = stride(from: 0, to: digits.count, by: 2).compactMap { UInt8(String(digits[$0...$0 + 1]), radix: 16) }
      defer { previous = hash }
      return AuditEntry(
        number: UInt64(number), event: bytes, previousHash: previous, hash: hash, missionId: event.missionId,
        time: time, actor: person.isEmpty ? "buddy" : person, action: "STATE_CHANGED", detail: "RUNNING: run \(number)")
    }
  }

  private static func lines(_ entries: some Sequence<AuditEntry>) throws -> String {
    try entries.map { try WireJSON.encode($0) + "\n" }.joined()
  }

  @Test("the chain holds as the proto defines it, whole or as a part")
  func whole() throws {
    let entries = try Self.chain(5)
    var chain = AuditChain()
    for entry in entries { #expect(chain.take(entry) == nil) }
    #expect(chain.count == 5 && chain.head == entries[4].hash)
    var part = AuditChain()
    for entry in entries[2...] { #expect(part.take(entry) == nil) }
    #expect(part.summary == "3 entries (from number 3 on), head \(part.head.hex)")
  }

  @Test("who it was is in the event, in its command, or nobody; a long name is cut")
  func actors() throws {
    let long = String(repeating: "x", count: 300)
    let cases: [(String, String, String, Bool)] = [
      ("ann", "", "ann", true), ("", "bob", "bob", true), ("", "", "buddy", true), ("ann", "", "buddy", false),
      ("ann", "", "an", false), ("ann", "", "", false), (long, "", String(long.prefix(200)), true),
      (long, "", String(long.prefix(200)) + "y", false), (long, "", "x", false),
      (long, "", long, false), (long, "", String(long.prefix(150)), false),
    ]
    for (actor, commander, name, fits) in cases {
      let change = commander.isEmpty ? nil : MissionChange(command: .pause, actor: commander)
      let told = ProgressEvent(missionId: "m", sequence: 1, actor: actor, change: change)
      let event = try told.bytes()
      let zeros = [UInt8](repeating: 0, count: 32)
      let hash = AuditHash.of(event, number: 1, after: zeros)
      var chain = AuditChain()
      let problem = chain.take(
        AuditEntry(
          number: 1, event: event, previousHash: zeros, hash: hash, missionId: "m", actor: name,
          action: told.auditAction, detail: told.auditDetail))
      #expect((problem == nil) == fits, "\(actor) \(commander) \(name)")
    }
  }

  @Test("whatever is changed in any entry, taken away, doubled or moved breaks the chain")
  func broken() throws {
    let entries = try Self.chain(6)
    let changes: [(inout AuditEntry) -> Void] = [
      { $0.event[3] ^= 1 }, { $0.hash[0] ^= 1 }, { $0.previousHash[31] ^= 1 }, { $0.number += 1 },
      { $0.missionId = "m-9" }, { $0.time = nil }, { $0.actor = "bob" }, { $0.action = "CANCEL" }, { $0.action = "" },
      { $0.detail += "." }, { $0.detail = "" }, { $0.event = [] }, { $0.hash = [] },
    ]
    var forgeries = changes.flatMap { change in
      entries.indices.map { index in
        var copy = entries
        change(&copy[index])
        return copy
      }
    }
    for index in 1..<5 {
      var copy = entries
      copy.remove(at: index)
      forgeries.append(copy)
      copy = entries
      copy.swapAt(index, index + 1)
      forgeries.append(copy)
      copy = entries
      copy.insert(entries[index], at: index)
      forgeries.append(copy)
    }
    for forgery in forgeries {
      var chain = AuditChain()
      #expect(!forgery.allSatisfy { chain.take($0) == nil })
    }
  }

  @Test("an export goes on after broken connections, and a later one after what the file has")
  func export() async throws {
    let folder = try TemporaryFolder("audit")
    let path = folder.file("audit.ndjson")
    let entries = try Self.chain(9)
    let available = Mutex(6)
    let connections = Mutex(0)
    try await PeerGateway.with { request, reply in
      let after = try #require(Int(request.uri.split(separator: "=").last ?? ""))
      let number = connections.withLock { count in
        count += 1
        return count
      }
      let rest = try Self.lines(entries[after..<available.withLock { $0 }])
      try await reply.head(.ok, ["content-type": "application/x-ndjson"])
      // The first connection breaks off inside the third line, the second one ends there.
      let cut = rest.utf8.count * 5 / 12
      try await reply.body(number < 3 ? String(rest.prefix(cut)) : rest)
      if number == 1 { throw PeerGateway.BreakOff() }
      try await reply.end()
    } _: { gateway, port in
      try await GatewayClientTests.client(port) { client in
        let first = try await AuditCommand.Export.export(to: path, client)
        #expect(first.added == 6 && first.whole.head == entries[5].hash)
        #expect(try String(contentsOfFile: path, encoding: .utf8) == Self.lines(entries[..<6]))
        // What a crash has left of a seventh line is fetched again.
        let handle = try #require(FileHandle(forWritingAtPath: path))
        try handle.seekToEnd()
        try handle.write(contentsOf: Data(Self.lines(entries[6...6]).utf8.prefix(40)))
        try handle.close()
        available.withLock { $0 = 9 }
        let second = try await AuditCommand.Export.export(to: path, client)
        #expect(second.added == 3 && second.whole.count == 9)
      }
      #expect(try String(contentsOfFile: path, encoding: .utf8) == Self.lines(entries))
      #expect(gateway.requests.last?.uri == "/api/v1/audit/export?after_number=6")
      let read = try await AuditFile.read(path)
      #expect(read.chain.head == entries[8].hash && !read.cut)
    }
  }

  @Test("an export that does not follow from the file is refused, and leaves the file as it is")
  func rewritten() async throws {
    let folder = try TemporaryFolder("audit")
    let path = folder.file("audit.ndjson")
    let entries = try Self.chain(4)
    try Self.lines(entries[..<2]).write(toFile: path, atomically: true, encoding: .utf8)
    var forged = entries[2]
    forged.previousHash[0] ^= 1
    try await PeerGateway.with { [forged] _, reply in
      try await reply.json(try Self.lines([forged]))
    } _: { _, port in
      let error = await #expect(throws: CommandError.self) {
        try await GatewayClientTests.client(port) { try await AuditCommand.Export.export(to: path, $0) }
      }
      #expect(error?.exit == .damagedData && error?.message.contains("entry 3") == true)
    }
    #expect(try String(contentsOfFile: path, encoding: .utf8) == Self.lines(entries[..<2]))
  }

  @Test("a file that was tampered with is told with its entry, and not written to")
  func tampered() async throws {
    let folder = try TemporaryFolder("audit")
    let path = folder.file("audit.ndjson")
    var entries = try Self.chain(4)
    entries[2].actor = "bob"
    for text in [try Self.lines(entries), "no log\n"] {
      try text.write(toFile: path, atomically: true, encoding: .utf8)
      let error = await #expect(throws: CommandError.self) { try await AuditFile.read(path) }
      #expect(error?.exit == .damagedData)
      #expect(error?.message.contains(text == "no log\n" ? "line 1" : "entry 3") == true)
      await #expect(throws: CommandError.self) { try await AuditFile.open(path) }
      #expect(try String(contentsOfFile: path, encoding: .utf8) == text)
    }
    let missing = await #expect(throws: CommandError.self) { try await AuditFile.read(folder.file("none")) }
    #expect(missing?.exit == .notFound)
  }

  @Test("a file that ends within a line, or holds nothing, does not pass for a whole export")
  func incomplete() async throws {
    let folder = try TemporaryFolder("audit")
    let path = folder.file("audit.ndjson")
    let whole = try Self.lines(try Self.chain(3))
    let cases = [
      (String(whole.dropLast()), "line 3 is cut short"), (String(whole.dropLast(20)), "line 3 is cut short"),
      (whole + "{", "line 4 is cut short"), (whole + "{\n", "line 4 is no entry"), ("{", "line 1 is cut short"),
      ("", "it holds no entry"), ("\n", "it holds no entry"),
    ]
    for (text, words) in cases {
      try text.write(toFile: path, atomically: true, encoding: .utf8)
      let error = await #expect(throws: CommandError.self) { try await AuditFile.verify(path) }
      #expect(error?.exit == .damagedData)
      #expect(error?.message.contains(words) == true, "\(error?.message ?? "")")
    }
    try whole.write(toFile: path, atomically: true, encoding: .utf8)
    #expect(try await AuditFile.verify(path).count == 3)
  }

  @Test("what is no file is refused as something to write", arguments: ["/dev/full", "/dev/null", "/", "/none/x"])
  func noFile(_ path: String) async throws {
    let error = await #expect(throws: CommandError.self) { try await AuditFile.open(path) }
    #expect(error?.code == "OUTPUT_FILE" && error?.exit == .cannotWrite)
    #expect(error?.message.contains("cannot write \(path)") == true)
  }

  @Test("two exports into one file do not mix")
  func locked() async throws {
    let folder = try TemporaryFolder("audit")
    let path = folder.file("audit.ndjson")
    let first = try await AuditFile.open(path)
    let error = await #expect(throws: CommandError.self) { try await AuditFile.open(path) }
    #expect(error?.exit == .cannotWrite)
    withExtendedLifetime(first) {}
  }

  @Test("the list asks for what is wanted; the service's own verdict is shown")
  func listAndVerify() async throws {
    let entries = try Self.chain(2)
    try await PeerGateway.with { request, reply in
      if request.path.hasSuffix("/verify") {
        return try await reply.json(#"{"entries":"7","head":"AAEC","brokenAt":"5","problem":"its hash"}"#)
      }
      try await reply.json(try WireJSON.encode(ListAuditResponse(entries: entries)))
    } _: { gateway, port in
      try await GatewayClientTests.client(port) { client in
        let page = try await client.audit(mission: "m/1", actor: "ann", limit: 10)
        #expect(AuditCommand.List.table(page.entries).lines(columns: nil)[2]
          == "     2  1970-01-01T00:00:02Z  m-2      ann    STATE_CHANGED  RUNNING: run 2")
        let verdict = try await client.verifyAudit()
        #expect(AuditCommand.Verify.summary(verdict) == "broken at entry 5: its hash")
      }
      #expect(gateway.requests.map(\.uri) == [
        "/api/v1/audit?mission=m%2F1&actor=ann&page_size=10", "/api/v1/audit/verify",
      ])
    }
    let well = VerifyAuditResponse(entries: 1, head: [0, 255])
    #expect(AuditCommand.Verify.summary(well) == "1 entry, head 00ff")
  }

  @Test("bad arguments are refused", arguments: [
    ["audit", "list", "--limit", "0"], ["audit", "list", "--actor", ""], ["audit", "list", "--mission", ""],
    ["audit", "export", "--out", ""], ["audit", "verify", "a", "b"],
  ])
  func arguments(_ arguments: [String]) {
    #expect(throws: (any Error).self) { try Buddy.parseAsRoot(arguments) }
  }
}

extension [UInt8] {
  fileprivate var hex: String { map { String(format: "%02x", $0) }.joined() }
}

import Foundation
import ServiceKit
import TestSupport
import Testing

@testable import BuddyCLI

/// A restore that dies at any of its steps, and what the next one makes of what it finds.
@Suite("the journal of a restore")
struct RestoreJournalTests {
  private static let plan = RestoreJournal.Plan(
    backup: "/saved", time: Date(timeIntervalSince1970: 1_000_000), aside: "before-restore-1")
  /// What services keep, and what else is in a data folder.
  private static let state = ["execution.sqlite3", "execution.sqlite3.lock", "learning.sqlite3", "artifacts/ab/file"]
  private static let others = ["up.lock", "logs/execution.log", "notes.txt"]

  private func write(_ names: [String], _ content: String, in folder: String) throws {
    for name in names {
      let url = URL(fileURLWithPath: "\(folder)/\(name)")
      try FileManager.default.createDirectory(
        at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
      try Data(content.utf8).write(to: url)
    }
  }

  private func content(_ path: String) -> String? { try? String(contentsOfFile: path, encoding: .utf8) }

  /// A data folder with old state, and new state that is complete.
  private func prepared() async throws -> (TemporaryFolder, RestoreJournal) {
    let folder = try TemporaryFolder("journal")
    try write(Self.state + Self.others, "old", in: folder.path)
    let journal = RestoreJournal(data: folder.path)
    try await journal.begin()
    try write(Self.state, "new", in: journal.new)
    return (folder, journal)
  }

  private func expectRestored(_ folder: TemporaryFolder) throws {
    for name in Self.state {
      #expect(content(folder.file(name)) == "new", "\(name)")
      #expect(content(folder.file("before-restore-1/\(name)")) == "old", "\(name)")
    }
    for name in Self.others { #expect(content(folder.file(name)) == "old", "\(name)") }
    #expect(!FileManager.default.fileExists(atPath: folder.file("restoring")))
    #expect(try RestoreJournal(data: folder.path).unfinished() == nil)
  }

  @Test("puts the new state in the place of the old, and leaves everything else alone")
  func whole() async throws {
    let (folder, journal) = try await prepared()
    #expect(try journal.unfinished() == nil)
    try await journal.commit(Self.plan)
    #expect(try journal.unfinished() == Self.plan)
    try await journal.finish(Self.plan)
    try expectRestored(folder)
  }

  @Test("before it is committed nothing has changed, and the next attempt starts anew")
  func beforeTheCommit() async throws {
    let (folder, journal) = try await prepared()
    try await journal.begin()
    #expect(try journal.unfinished() == nil)
    for name in Self.state { #expect(content(folder.file(name)) == "old") }
    #expect(try RestoreJournal.state(in: journal.new) == [])
  }

  @Test("goes on from any point between", arguments: 0...9)
  func interrupted(_ moves: Int) async throws {
    let (folder, journal) = try await prepared()
    try await journal.commit(Self.plan)
    // By hand, the first of the moves that `finish` makes: four aside, the change of the name, four into place.
    let names = ["artifacts", "execution.sqlite3", "execution.sqlite3.lock", "learning.sqlite3"]
    let aside = folder.file(Self.plan.aside)
    try FileManager.default.createDirectory(atPath: aside, withIntermediateDirectories: true)
    var steps: [(String, String)] = names.map { (folder.file($0), "\(aside)/\($0)") }
    steps.append((folder.file("restoring/ready"), folder.file("restoring/placing")))
    steps += names.map { ("\(journal.new)/\($0)", folder.file($0)) }
    for (source, target) in steps.prefix(moves) {
      try FileManager.default.moveItem(atPath: source, toPath: target)
    }
    let plan = try #require(try journal.unfinished())
    #expect(plan == Self.plan)
    try await journal.finish(plan)
    try expectRestored(folder)
  }

  @Test("what was begun on a server stays marked, and nothing else can be done before it is whole")
  func loading() async throws {
    let (folder, journal) = try await prepared()
    let target = ["execution": "postgres://eva@db/a", "learning": "postgres://eva@db/a"]
    let attempt = RestoreJournal.Attempt(backup: "/saved", target: target)
    #expect(try journal.interrupted(in: target) == nil)
    try await journal.beginLoading(attempt)
    for other in [[:], ["execution": "postgres://eva@db/b"]] {
      let error = #expect(throws: CommandError.self) { try journal.interrupted(in: other) }
      #expect(error?.message.contains("the restore of /saved into postgres://eva@db/a was interrupted") == true)
    }
    // The next attempt begins anew, and dies at once.
    try await journal.begin()
    #expect(try journal.interrupted(in: target) == attempt)
    #expect(try RestoreJournal.state(in: journal.new) == [])
    try await journal.beginLoading(RestoreJournal.Attempt(backup: "/other", target: target))
    #expect(try journal.interrupted()?.backup == "/other")
    try write(Self.state, "new", in: journal.new)
    var plan = Self.plan
    plan.target = target
    try await journal.commit(plan)
    #expect(throws: CommandError.self) { try journal.interrupted(in: [:]) }
    try await journal.finish(plan)
    try expectRestored(folder)
    #expect(try journal.interrupted() == nil)
  }

  @Test("a name for what goes aside is free")
  func aside() throws {
    let folder = try TemporaryFolder("journal")
    let journal = RestoreJournal(data: folder.path)
    let names = try (1...4).map { _ in
      let name = journal.freeAside()
      try FileManager.default.createDirectory(atPath: folder.file(name), withIntermediateDirectories: false)
      return name
    }
    #expect(Set(names).count == 4 && names.allSatisfy { $0.hasPrefix("before-restore-") })
  }

  @Test("a journal that cannot be read stops everything")
  func unreadable() async throws {
    let (folder, journal) = try await prepared()
    try write(["ready"], "{", in: folder.file("restoring"))
    let error = #expect(throws: CommandError.self) { try journal.unfinished() }
    #expect(error?.exit == .damagedData)
  }
}

import Foundation
import Messages
import NIOHTTP1
import Synchronization
import TestSupport
import Testing

@testable import BuddyCLI

@Suite("Fetching artifacts")
struct ArtifactDownloadTests {
  private static let content = String(repeating: "content ", count: 1000)

  private static var artifact: Artifact {
    Artifact(id: "a-1", name: "x.txt", size: UInt64(content.utf8.count), sha256: SHA.hexadecimal(content.utf8))
  }

  private static func offset(_ request: PeerGateway.Request) -> Int {
    Int(request.header("range")?.dropFirst("bytes=".count).dropLast() ?? "0") ?? 0
  }

  /// Answers from the offset asked for, at most `limit` bytes and then broken off.
  private static func serve(
    _ request: PeerGateway.Request, _ reply: PeerGateway.Reply, limit: Int = .max, ranges: Bool = true
  ) async throws {
    let start = ranges ? offset(request) : 0
    let rest = String(content.dropFirst(start))
    try await reply.head(start > 0 ? .partialContent : .ok, ["content-length": "\(rest.utf8.count)"])
    try await reply.body(String(rest.prefix(limit)))
    if rest.count > limit { throw PeerGateway.BreakOff() }
    try await reply.end()
  }

  private func download(
    _ port: Int, _ path: String, force: Bool = false, _ artifact: Artifact = artifact
  ) async throws {
    try await GatewayClientTests.client(port) { gateway in
      try await ArtifactDownload(gateway: gateway, artifact: artifact).toFile(path, force: force)
    }
  }

  private func files(_ folder: TemporaryFolder) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted()
  }

  @Test("a download that breaks off again and again goes on where it was", arguments: [true, false])
  func resumes(_ ranges: Bool) async throws {
    let folder = try TemporaryFolder("download")
    let connections = Mutex(0)
    try await PeerGateway.with { request, reply in
      let number = connections.withLock { count in
        count += 1
        return count
      }
      try await Self.serve(request, reply, limit: number == 3 ? .max : ranges ? 3000 : 3000 * number, ranges: ranges)
    } _: { gateway, port in
      try await download(port, folder.file("out.txt"))
      #expect(try String(contentsOfFile: folder.file("out.txt"), encoding: .utf8) == Self.content)
      #expect(try files(folder) == ["out.txt"])
      #expect(gateway.requests.count == 3)
    }
  }

  @Test("what an earlier attempt has left is not fetched again")
  func earlierPart() async throws {
    let folder = try TemporaryFolder("download")
    let part = folder.file("out.txt.a-1.part")
    try String(Self.content.prefix(5000)).write(toFile: part, atomically: true, encoding: .utf8)
    try await PeerGateway.with { try await Self.serve($0, $1) } _: { gateway, port in
      try await download(port, folder.file("out.txt"))
      #expect(gateway.requests.map { $0.header("range") } == ["bytes=5000-"])
      #expect(try String(contentsOfFile: folder.file("out.txt"), encoding: .utf8) == Self.content)
    }
  }

  @Test("bytes that do not match are not given the name, and the next attempt starts anew")
  func mismatch() async throws {
    let folder = try TemporaryFolder("download")
    let part = folder.file("out.txt.a-1.part")
    try String(repeating: "!", count: 5000).write(toFile: part, atomically: true, encoding: .utf8)
    try await PeerGateway.with { try await Self.serve($0, $1) } _: { _, port in
      let error = await #expect(throws: CommandError.self) { try await download(port, folder.file("out.txt")) }
      #expect(error?.exit == .damagedData)
      #expect(try files(folder).isEmpty)
      try await download(port, folder.file("out.txt"))
      #expect(try files(folder) == ["out.txt"])
    }
  }

  @Test("an existing file stays unless it may be overwritten")
  func existing() async throws {
    let folder = try TemporaryFolder("download")
    try "mine".write(toFile: folder.file("out.txt"), atomically: true, encoding: .utf8)
    try await PeerGateway.with { try await Self.serve($0, $1) } _: { gateway, port in
      let error = await #expect(throws: CommandError.self) { try await download(port, folder.file("out.txt")) }
      #expect(error?.exit == .cannotWrite && error?.message.contains("--force") == true)
      #expect(gateway.requests.isEmpty)
      #expect(try String(contentsOfFile: folder.file("out.txt"), encoding: .utf8) == "mine")
      try await download(port, folder.file("out.txt"), force: true)
      #expect(try String(contentsOfFile: folder.file("out.txt"), encoding: .utf8) == Self.content)
    }
  }

  @Test("a folder that does not exist leaves with 73")
  func noFolder() async throws {
    let folder = try TemporaryFolder("download")
    let error = await #expect(throws: CommandError.self) { try await download(1, folder.file("none/out.txt")) }
    #expect(error?.exit == .cannotWrite)
  }

  @Test("what is no file is not replaced, even by force, and nothing is left beside it")
  func noFile() async throws {
    let folder = try TemporaryFolder("download")
    try FileManager.default.createDirectory(atPath: folder.file("there"), withIntermediateDirectories: true)
    for path in ["there", "there/"] {
      let error = await #expect(throws: CommandError.self) { try await download(1, folder.file(path), force: true) }
      #expect(error?.exit == .cannotWrite)
    }
    #expect(try files(folder) == ["there"])
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.file("there")).isEmpty)
  }

  @Test("a goal that cannot be written after all leaves no part behind")
  func unwritable() async throws {
    let folder = try TemporaryFolder("download")
    let goal = folder.file("out.txt")
    try await PeerGateway.with { request, reply in
      try FileManager.default.createDirectory(atPath: goal, withIntermediateDirectories: true)
      try await Self.serve(request, reply)
    } _: { _, port in
      let error = await #expect(throws: CommandError.self) { try await download(port, goal, force: true) }
      #expect(error?.exit == .cannotWrite)
      let left = try files(folder)
      #expect(left == ["out.txt"])
    }
  }

  @Test("standard output that cannot be written leaves with 73; a reader that went away is no error")
  func outputFailure() async throws {
    try await PeerGateway.with { try await Self.serve($0, $1) } _: { gateway, port in
      try await GatewayClientTests.client(port) { client in
        let download = ArtifactDownload(gateway: client, artifact: Self.artifact)
        let full = CommandError(code: "OUTPUT", message: "full", exit: .cannotWrite)
        let error = await #expect(throws: CommandError.self) { try await download.toOutput(.failing(full)) }
        #expect(error == full)
        try await download.toOutput(.failing(Console.ReaderGone()))
      }
    }
  }

  @Test("an empty artifact is an empty file")
  func empty() async throws {
    let folder = try TemporaryFolder("download")
    try await PeerGateway.with { try await Self.serve($0, $1) } _: { gateway, port in
      try await download(port, folder.file("out"), Artifact(id: "a-0", sha256: SHA.hexadecimal([])))
      #expect(try Data(contentsOf: URL(fileURLWithPath: folder.file("out"))).isEmpty)
      #expect(gateway.requests.isEmpty)
    }
  }

  @Test("to standard output, byte for byte")
  func output() async throws {
    try await PeerGateway.with { try await Self.serve($0, $1) } _: { _, port in
      let paper = Paper()
      try await GatewayClientTests.client(port) { gateway in
        try await ArtifactDownload(gateway: gateway, artifact: Self.artifact).toOutput(paper.console())
      }
      #expect(paper.output == Self.content)
    }
  }
}

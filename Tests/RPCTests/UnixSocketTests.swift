import Foundation
import TestSupport
import Testing

@testable import RPC

@Suite(.timeLimit(.minutes(2)))
struct UnixSocketTests {
  private var router: Router {
    var router = Echo.router
    router.unary(Echo.missing) { _, context in "\(context.peer) \(context.authority)" }
    return router
  }

  @Test func callsOfAllKinds() async throws {
    let folder = try TemporaryFolder()
    let path = folder.file("socket")
    let server = Server(router: router)
    let address = try await server.start(unixSocket: path)
    #expect(address.description == "unix:\(path)")
    #expect(address.unixSocketPath == path)
    let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
    #expect(mode == 0o600)
    let client = Client(.unixSocket(path: path))
    #expect(try await client.unary(Echo.missing, "") == "unix localhost")
    #expect(try await client.clientStreaming(Echo.collect) { try await $0.write("b") } == "b")
    var count = 0
    for try await _ in try await client.serverStreaming(Echo.expand, "1000 times") { count += 1 }
    #expect(count == 1000)
    await server.shutdown(grace: .seconds(5))
    #expect(!FileManager.default.fileExists(atPath: path))
    let failed = await status { try await client.unary(Echo.say, "a") }
    #expect(failed == Status(.unavailable, "localhost cannot be reached: no such file or directory"))
    await client.close()
  }

  @Test func aLiveSocketIsNotTakenOver() async throws {
    let folder = try TemporaryFolder()
    let path = folder.file("socket")
    let first = Server(router: router)
    _ = try await first.start(unixSocket: path, mode: 0o666)
    let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
    #expect(mode == 0o666)
    do {
      _ = try await Server(router: router).start(unixSocket: path)
      Issue.record("two servers on one socket")
    } catch let error as BindError {
      #expect(error.isInUse)
      #expect(error.description == "cannot listen on unix:\(path): the address is already in use")
    }
    let client = Client(.unixSocket(path: path))
    #expect(try await client.unary(Echo.say, "still there") == "still there")
    await client.close()
    await first.shutdown(grace: .zero)
  }

  @Test func aStaleSocketIsReplaced() async throws {
    let folder = try TemporaryFolder()
    let path = folder.file("socket")
    // What a killed server leaves behind: bound, and nobody listens.
    let stale = try UnixListener(path: path, mode: 0o600, address: BoundAddress(host: "unix:\(path)", port: 0))
    close(stale.descriptor)
    #expect(FileManager.default.fileExists(atPath: path))
    let server = Server(router: router)
    _ = try await server.start(unixSocket: path)
    let client = Client(.addresses([.unixSocket(path: path)]))
    #expect(try await client.unary(Echo.say, "a") == "a")
    // The file is another's now: it stays.
    try FileManager.default.removeItem(atPath: path)
    try Data("mine".utf8).write(to: URL(fileURLWithPath: path))
    await server.shutdown(grace: .zero)
    #expect(try String(contentsOfFile: path, encoding: .utf8) == "mine")
    await client.close()
  }

  @Test func pathsThatCannotBe() async throws {
    let folder = try TemporaryFolder()
    let file = folder.file("file")
    try Data("precious".utf8).write(to: URL(fileURLWithPath: file))
    for (path, reason) in [
      (file, "the address is already in use"), (folder.file(String(repeating: "x", count: 120)), "file name too long"),
      (folder.file("no/such/folder"), "no such file or directory"),
    ] {
      do {
        _ = try await Server(router: router).start(unixSocket: path)
        Issue.record("listens on \(path)")
      } catch let error as BindError {
        #expect(error.reason == reason)
      }
    }
    #expect(try String(contentsOfFile: file, encoding: .utf8) == "precious")
    let client = Client(.unixSocket(path: folder.file(String(repeating: "x", count: 120))))
    #expect(await status { try await client.unary(Echo.say, "a") }?.code == .unavailable)
    await client.close()
  }
}

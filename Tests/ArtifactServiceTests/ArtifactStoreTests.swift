import Foundation
import Messages
import RPC
import ServiceTestSupport
import Storage
import TestSupport
import Testing

@testable import ArtifactService

private struct Fixture {
  let folder: TemporaryFolder
  let place: TestStore
  let store: ArtifactStore

  init(_ engine: TestEngine) async throws {
    folder = try TemporaryFolder("artifacts")
    place = try await TestStore(engine)
    store = ArtifactStore(
      database: try await place.open(migrations), files: try await ContentFiles.open(folder: folder.file("contents")))
  }

  func put(
    _ bytes: [UInt8], name: String = "a.bin", sha256: String = "", key: String = "", maximumSize: Int = 1 << 30
  ) async throws -> Artifact {
    var rest = bytes[...]
    let header = PutArtifactHeader(
      name: name, mediaType: "application/octet-stream", missionId: "m", sha256: sha256, key: key)
    return try await store.put(header, maximumSize: maximumSize) {
      guard !rest.isEmpty else { return nil }
      defer { rest = rest.dropFirst(10_000) }
      return Array(rest.prefix(10_000))
    }
  }

  func get(_ artifact: Artifact, from offset: UInt64 = 0) async throws -> [UInt8] {
    var bytes: [UInt8] = []
    try await store.read(artifact, from: offset, chunkSize: 4_096) { bytes += $0 }
    return bytes
  }
}

@Suite struct ArtifactStoreTests {
  private func random(_ count: Int) -> [UInt8] {
    var random = SeededRandom()
    return (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
  }

  @Test(
    arguments: TestEngine.allCases, [0, 1, ArtifactStore.inlineLimit, ArtifactStore.inlineLimit + 1, 1_000_000])
  func bytesComeBackAsTheyWere(_ engine: TestEngine, _ count: Int) async throws {
    let fixture = try await Fixture(engine)
    let bytes = random(count)
    let artifact = try await fixture.put(bytes)
    #expect(artifact.size == UInt64(count))
    #expect(try await fixture.get(artifact) == bytes)
    #expect(try await fixture.get(artifact, from: UInt64(count / 2)) == Array(bytes.dropFirst(count / 2)))
    #expect(try await fixture.store.describe(artifact.id) == artifact)
  }

  @Test(arguments: TestEngine.allCases) func theDigestIsSHA256(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    let artifact = try await fixture.put(Array("abc".utf8))
    #expect(artifact.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
  }

  @Test(arguments: TestEngine.allCases) func aWrongDigestIsRefusedAndLeavesNothing(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    await #expect { try await fixture.put(random(500_000), sha256: String(repeating: "0", count: 64)) } throws: {
      ($0 as? Status)?.code == .dataLoss
    }
    #expect(try await fixture.store.list(missionID: "", before: "", limit: 10).isEmpty)
    #expect(try FileManager.default.contentsOfDirectory(atPath: fixture.folder.file("contents/unfinished")).isEmpty)
  }

  @Test(arguments: TestEngine.allCases) func anUploadThatBreaksOffLeavesNothing(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    let bytes = random(300_000)
    let (started, start) = AsyncStream.makeStream(of: Void.self)
    let upload = Task {
      var sent = false
      return try await fixture.store.put(PutArtifactHeader(name: "a", mediaType: "a/b"), maximumSize: 1 << 30) {
        defer { sent = true }
        if !sent { return bytes }
        start.finish()
        try await Task.sleep(for: .seconds(60))
        return nil
      }
    }
    for await _ in started {}
    let descriptors = try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count
    upload.cancel()
    await #expect(throws: CancellationError.self) { try await upload.value }
    #expect(try FileManager.default.contentsOfDirectory(atPath: fixture.folder.file("contents/unfinished")).isEmpty)
    print("descriptors before and after: \(descriptors), \(try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count)")
  }

  @Test(arguments: TestEngine.allCases) func tooLargeIsRefused(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    await #expect { try await fixture.put(random(30_000), maximumSize: 20_000) } throws: {
      ($0 as? Status)?.code == .resourceExhausted
    }
  }

  @Test(arguments: TestEngine.allCases) func oneKeyMakesOneArtifact(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    let first = try await fixture.put([1, 2, 3], key: "0 a.bin")
    #expect(try await fixture.put([1, 2, 3], key: "0 a.bin") == first)
    #expect(try await fixture.put([1, 2, 3]).id != first.id)
    #expect(try await fixture.store.list(missionID: "m", before: "", limit: 10).count == 2)
  }

  @Test(arguments: TestEngine.allCases) func aDamagedFileIsNoticed(_ engine: TestEngine) async throws {
    let fixture = try await Fixture(engine)
    let artifact = try await fixture.put(random(300_000))
    let path = fixture.folder.file("contents/\(artifact.sha256.prefix(2))/\(artifact.sha256)")
    let file = try FileHandle(forWritingTo: URL(fileURLWithPath: path))
    let last = try await fixture.get(artifact, from: artifact.size - 1)[0]
    try file.seek(toOffset: artifact.size - 1)
    try file.write(contentsOf: [last ^ 1])
    try file.close()
    await #expect { try await fixture.get(artifact) } throws: { ($0 as? Status)?.code == .dataLoss }
    try FileManager.default.removeItem(atPath: path)
    await #expect(throws: Status.self) { try await fixture.get(artifact) }
  }

  @Test(arguments: ["", ".", "..", "a/b", "..\\x", "a\u{0}b", "a\nb", "\u{202E}fdp.exe", String(repeating: "n", count: 256)])
  func unsafeNamesAreRefused(_ name: String) {
    #expect(throws: Status.self) { try ArtifactsService.fileName(name) }
  }

  @Test func mediaTypes() {
    for good in ["text/csv", "application/vnd.vegalite.v5+json", "text/html; charset=utf-8"] {
      #expect(ArtifactsService.isMediaType(good))
    }
    for bad in ["", "text", "text/", "/csv", "a/b/c", "text/c sv", "text/csv\r\nX: y"] {
      #expect(!ArtifactsService.isMediaType(bad))
    }
  }
}

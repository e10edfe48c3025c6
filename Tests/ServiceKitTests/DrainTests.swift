import Foundation
import Messages
import RPC
import ServiceTestSupport
import Stubs
import TestSupport
import Testing

@testable import ServiceKit

/// SIGTERM to a real process that is answering a call.
@Suite(.timeLimit(.minutes(3))) struct DrainTests {
  /// The artifact service with an upload under way that goes on only when it is told to.
  private struct Upload {
    let folder: TemporaryFolder
    let process: ServiceProcess
    let port: Int
    let admin: AdminPortClient
    let answer: Task<Artifact, any Error>
    let goOn: AsyncStream<Void>.Continuation

    init(grace: String) async throws {
      folder = try TemporaryFolder("drain")
      process = try ServiceProcess(
        "buddy-artifact", ["--port", "0", "--data", folder.file("data"), "--shutdown-grace", grace], in: folder)
      port = try await process.port()
      admin = AdminPortClient(port: try #require(process.adminPort))
      let client = Client(host: "127.0.0.1", port: port)
      let (mayGoOn, goOn) = AsyncStream.makeStream(of: Void.self)
      let (begun, hasBegun) = AsyncStream.makeStream(of: Void.self)
      self.goOn = goOn
      answer = Task {
        defer { hasBegun.finish() }
        let artifact = try await ArtifactsClient(client).put { writer in
          try await writer.write(.init(part: .header(.init(name: "a.txt", mediaType: "text/plain"))))
          try await writer.write(.init(part: .chunk(Array("first ".utf8))))
          hasBegun.yield()
          for await _ in mayGoOn { break }
          try await writer.write(.init(part: .chunk(Array("second".utf8))))
        }
        await client.close()
        return artifact
      }
      for await _ in begun { break }
      // Calls of one connection arrive in their order: once this one is answered, the upload is there.
      _ = try await GrpcHealthV1HealthClient(client).check(.init(), .timeout(.seconds(30)))
    }
  }

  @Test func aCallUnderWayFinishes() async throws {
    let upload = try await Upload(grace: "2m")
    #expect(try await upload.admin.get("/readyz").status == 200)
    upload.process.send(SIGTERM)
    try await eventually("it says that it stops") { try await upload.admin.get("/readyz").phase == "stopping" }
    #expect(try await upload.admin.get("/readyz").status == 503)
    #expect(try await upload.admin.get("/healthz").status == 200)
    try await eventually("it takes no new connections") {
      let late = Client(host: "127.0.0.1", port: upload.port)
      let status = await #expect(throws: Status.self) {
        _ = try await GrpcHealthV1HealthClient(late).check(.init(), .timeout(.seconds(30)))
      }
      await late.close()
      return status?.code == .unavailable
    }
    #expect(upload.process.isRunning)
    upload.goOn.finish()
    #expect(try await upload.answer.value.size == 12)
    #expect(try await upload.process.ended() == 0)
    #expect(upload.process.log.contains("stopped"))
  }

  @Test func aCallThatTakesLongerThanTheGraceIsCutOff() async throws {
    let upload = try await Upload(grace: "200ms")
    upload.process.send(SIGTERM)
    #expect(try await upload.process.ended() == 0)
    upload.goOn.finish()
    let status = await #expect(throws: Status.self) { try await upload.answer.value }
    #expect(status?.code == .unavailable)
  }
}

import Foundation
import ServiceTestSupport
import TestSupport
import Testing

/// All services on one PostgreSQL server.
@Suite struct PostgresMissionTests {
  private static let schemas = ["artifact", "execution", "investment", "learning", "progress"].map { "buddy_\($0)" }

  @Test func aMissionRunsAndIsFoundByAnotherInstallation() async throws {
    let server = try await PostgresServer.shared()
    let name = try await server.makeDatabase()
    // The server trusts its socket; the password is there to be looked for.
    let url = server.url(database: name).replacing("postgres://buddy@", with: "postgres://buddy:s3cret-word@")
    let installation = try await Installation(environment: ["BUDDY_DATABASE": url])
    let file = try installation.file("sales.csv", "region,price\nNorth,10\nSouth,20\nNorth,30\n")
    let run = try await installation.buddy("run", "Average price by region", "--input", file)
    #expect(run.code == 0, "\(run.errors)")
    #expect(run.output.contains("North") && run.output.contains("20"))

    let schemas = try await server.sql(
      "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'buddy%' ORDER BY 1", database: name)
    #expect(schemas.split(separator: "\n").map(String.init) == Self.schemas)
    #expect(try await server.sql("SELECT count(*) FROM buddy_execution.missions", database: name) == "1")
    #expect(try await installation.stop() == 0)

    var texts = [installation.up.log]
    for path in try FileManager.default.subpathsOfDirectory(atPath: installation.folder.path) {
      #expect(!path.contains("sqlite"), "\(path)")
      if let text = try? String(contentsOfFile: installation.folder.file(path), encoding: .utf8) { texts.append(text) }
    }
    #expect(texts.contains { $0.contains("postgres://buddy@/\(name)?host=") })
    #expect(!texts.contains { $0.contains("s3cret-word") })

    let another = try await Installation(environment: ["BUDDY_DATABASE": url])
    let list = try await another.buddy("mission", "list")
    #expect(list.output.contains("Average price by region"), "\(list.output)\(list.errors)")
    #expect(try await another.stop() == 0)
  }

  @Test func aServerThatIsNotThereIsNamedWithoutThePassword() async throws {
    let folder = try TemporaryFolder("none")
    let run = try await Command.run(
      "buddy-learning",
      ["--port", "0", "--data", folder.file("data"), "--database", "mysql://eva:s3cret-word@127.0.0.1/db"], in: folder)
    #expect(run.code == 64)
    #expect(run.errors.contains("--database") && !run.errors.contains("s3cret-word"), "\(run.errors)")
  }
}

import Foundation
import ServiceTestSupport
import Storage
import TestSupport
import Testing

/// Encryption and passwords, against a server with a certificate of the test's own.
@Suite(.timeLimit(.minutes(2))) struct PostgresTLSTests {
  /// Two authorities, and a certificate of the first for 127.0.0.1.
  private struct Certificates {
    let folder: TemporaryFolder

    init() throws {
      folder = try TemporaryFolder("certificates")
      for name in ["ca", "other"] {
        try openssl(
          "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
          "-subj", "/CN=\(name)", "-keyout", folder.file("\(name).key"), "-out", folder.file("\(name).crt"))
      }
      try openssl(
        "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=server",
        "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder.file("server.key"),
        "-out", folder.file("server.csr"))
      try openssl(
        "x509", "-req", "-in", folder.file("server.csr"), "-CA", folder.file("ca.crt"), "-CAkey", folder.file("ca.key"),
        "-CAcreateserial", "-copy_extensions", "copy", "-days", "2", "-out", folder.file("server.crt"))
    }

    func text(_ name: String) throws -> String { try String(contentsOfFile: folder.file(name), encoding: .utf8) }

    private func openssl(_ arguments: String...) throws {
      let process = Process()
      process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
      process.arguments = ["openssl"] + arguments
      let output = Pipe()
      process.standardError = output
      process.standardOutput = FileHandle.nullDevice
      try process.run()
      let message = output.fileHandleForReading.readDataToEndOfFile()
      process.waitUntilExit()
      try #require(process.terminationStatus == 0, "\(String(decoding: message, as: UTF8.self))")
    }
  }

  private func error(_ url: String) async -> String {
    let error = await storageError {
      let address = try PostgresAddress(url, schema: "tls")
      let database = try await Database.open(.postgres(address), migrations: [])
      await database.close()
    }
    guard let error else { return "" }
    guard case .cannotOpen = error else { return "another error: \(error)" }
    #expect(!"\(error)".contains("s3cret"))
    return "\(error)"
  }

  @Test func theServerMustProveWhoItIs() async throws {
    let certificates = try Certificates()
    let server = try await PostgresServer(
      settings: ["ssl": "on", "ssl_cert_file": "server.crt", "ssl_key_file": "server.key"], listensOnLoopback: true,
      files: [
        "server.crt": try certificates.text("server.crt"), "server.key": try certificates.text("server.key"),
        "pg_hba.conf": "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n",
      ])
    try await server.sql("CREATE USER eva PASSWORD 's3cret'; GRANT CREATE ON DATABASE postgres TO eva")
    func url(_ host: String, password: String = "s3cret", mode: String = "verify-full", ca: String = "ca") -> String {
      "postgres://eva:\(password)@\(host):\(server.port)/postgres?sslmode=\(mode)"
        + "&sslrootcert=\(certificates.folder.file(ca + ".crt"))"
    }
    let database = try await Database.open(
      .postgres(PostgresAddress(url("127.0.0.1"), schema: "tls")), migrations: Fixture.migrations)
    let row = try await database.read { try $0.first("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()") }
    #expect(try row?.bool("ssl") == true)
    try await database.insert(1, "encrypted")
    await database.close()

    #expect(await error(url("127.0.0.1", ca: "other")).contains("certificate"))
    #expect(await error(url("localhost")).contains("certificate"))
    #expect(await error(url("127.0.0.1", mode: "disable")).contains("no encryption"))
    #expect(await error(url("127.0.0.1", password: "wrong-s3cret")).contains("authentication failed"))
    #expect(await error(url("127.0.0.1") + "&dbname=missing").contains("missing"))
  }
}

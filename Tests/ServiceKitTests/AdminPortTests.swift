import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import RPC
import ServiceTestSupport
import Storage
import Synchronization
import TestSupport
import Testing

@testable import ServiceKit

/// The admin port of a service of this machine.
struct AdminPortClient: Sendable {
  let port: Int

  struct Answer: Sendable {
    let status: Int
    let headers: HTTPHeaders
    let text: String

    /// A JSON answer's object.
    var json: [String: Any] {
      (try? JSONSerialization.jsonObject(with: Data(text.utf8))) as? [String: Any] ?? [:]
    }
    var phase: String? { json["phase"] as? String }
    var problems: [String: String]? { json["problems"] as? [String: String] }
  }

  func get(_ path: String, method: String = "GET", body: Int = 0) async throws -> Answer {
    var request = HTTPClientRequest(url: "http://127.0.0.1:\(port)\(path)")
    request.method = .RAW(value: method)
    if body > 0 { request.body = .bytes(ByteBuffer(repeating: 0x20, count: body)) }
    let response = try await httpClient.execute(request, timeout: .seconds(30))
    let bytes = try await response.body.collect(upTo: 16 << 20)
    return Answer(status: Int(response.status.code), headers: response.headers, text: String(buffer: bytes))
  }

  /// The value of a series, written as it is in the text: `name{label="value"}`.
  func value(_ series: String) async throws -> Double? {
    let line = try await get("/metrics").text.split(separator: "\n").first { $0.hasPrefix(series + " ") }
    return line?.split(separator: " ").last.flatMap { Double($0) }
  }
}

/// Never shut down, for it lasts as long as the process.
private let httpClient: HTTPClient = {
  var configuration = HTTPClient.Configuration()
  // That nobody listens is an answer here.
  configuration.connectionPool.retryConnectionEstablishment = false
  return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
}()

extension Run {
  /// Waits for the admin port.
  func admin() async throws -> AdminPortClient {
    try await eventually("the admin port is there") { ServiceProcess.adminPort(in: lines.text) != nil }
    return AdminPortClient(port: try #require(ServiceProcess.adminPort(in: lines.text)))
  }
}

@Suite(.timeLimit(.minutes(2))) struct AdminPortTests {
  @Test func threeAnswersAndNothingElse() async throws {
    let run = try Run()
    _ = try await run.start()
    let admin = try await run.admin()
    let metrics = try await admin.get("/metrics")
    #expect(metrics.status == 200)
    #expect(metrics.headers.first(name: "content-type") == "text/plain; version=0.0.4; charset=utf-8")
    for name in ["process_start_time_seconds", "buddy_event_loop_lag_seconds", "buddy_rpc_server_duration_seconds"] {
      #expect(metrics.text.contains("# TYPE \(name) "), "\(name)")
    }
    #expect(try await admin.get("/healthz").status == 200)
    let ready = try await admin.get("/readyz")
    #expect(ready.status == 200 && ready.phase == "serving" && ready.problems == [:])
    for path in ["/metrics", "/healthz", "/readyz"] {
      let head = try await admin.get(path, method: "HEAD")
      #expect(head.status == 200 && head.text.isEmpty)
      let post = try await admin.get(path, method: "POST", body: 10)
      #expect(post.status == 405 && post.headers.first(name: "allow") == "GET, HEAD")
    }
    for path in ["/", "/metrics/", "/metrics2", "/debug"] { #expect(try await admin.get(path).status == 404) }
    #expect(try await admin.get("/healthz?verbose=1").status == 200)
    #expect(await run.stop() == .success)
    await #expect(throws: (any Error).self) { try await admin.get("/healthz") }
  }

  @Test func aLongBodyIsCutOff() async throws {
    let run = try Run()
    _ = try await run.start()
    let admin = try await run.admin()
    // It is refused while it is still being sent, so the client may see its connection end instead of the answer.
    if let answer = try? await admin.get("/metrics", method: "POST", body: 32 << 20) { #expect(answer.status == 405) }
    try await eventually("others are answered") { (try? await admin.get("/healthz"))?.status == 200 }
    #expect(await run.stop() == .success)
  }

  @Test func aDatabaseThatDoesNotAnswerIsNamed() async throws {
    let run = try Run()
    let opened = Mutex<Database?>(nil)
    _ = try await run.start { environment in
      let database = try await environment.openDatabase(migrations: [])
      opened.withLock { $0 = database }
      environment.readiness.require("hanging") { try await Task.sleep(for: .seconds(3600)) }
      return ServiceDefinition(router: Router())
    }
    let admin = try await run.admin()
    let hanging = try await admin.get("/readyz")
    #expect(hanging.status == 503 && hanging.phase == "serving")
    #expect(hanging.problems == ["hanging": "no answer within 1s"])
    await opened.withLock { $0 }?.close()
    let closed = try await admin.get("/readyz")
    #expect(closed.status == 503 && closed.problems?["database"] == "the service is stopping")
    #expect(closed.headers.first(name: "content-type") == "application/json")
    #expect(try await admin.get("/healthz").status == 200)
    #expect(await run.stop() == .success)
  }

  @Test func startingAndStoppingAreNotReady() async throws {
    let run = try Run()
    let (mayStart, start) = AsyncStream.makeStream(of: Void.self)
    let (mayStop, stop) = AsyncStream.makeStream(of: Void.self)
    let running = Task {
      await run.code(["--port", "0"]) { _ in
        for await _ in mayStart { break }
        return ServiceDefinition(router: Router(), stop: { for await _ in mayStop { break } })
      }
    }
    let admin = try await run.admin()
    let starting = try await admin.get("/readyz")
    #expect(starting.status == 503 && starting.phase == "starting")
    #expect(try await admin.get("/healthz").status == 200)
    start.finish()
    try await eventually("it is ready") { try await admin.get("/readyz").status == 200 }
    run.run.stops.request(.signal("SIGTERM"))
    try await eventually("it is not ready") { try await admin.get("/readyz").phase == "stopping" }
    #expect(try await admin.get("/readyz").status == 503)
    #expect(try await admin.get("/metrics").status == 200)
    stop.finish()
    #expect(await running.value == .success)
  }

  @Test func anAdminPortThatIsTakenIsNamed() async throws {
    let first = try Run()
    _ = try await first.start()
    let port = try await first.admin().port
    let second = try Run(.progress)
    #expect(await second.code(["--port", "0", "--admin-port", "\(port)"]) == .unavailable)
    #expect(second.lines.text.contains("port \(port) is taken"))
    #expect(second.lines.text.contains("--admin-port"))
    #expect(await first.stop() == .success)
  }

  @Test func otherMachinesAreKeptOutHereToo() async throws {
    let run = try Run()
    #expect(await run.code(["--admin-host", "0.0.0.0"]) == .usage)
    #expect(run.lines.text.contains("--admin-host 0.0.0.0") && run.lines.text.contains("--insecure-allow-network"))
  }

  @Test func thePortFollowsTheServices() throws {
    #expect(try AdminPortNumber.besideService.port(besideService: 8421) == 9421)
    #expect(try AdminPortNumber.besideService.port(besideService: 0) == 0)
    #expect(try AdminPortNumber.number(7).port(besideService: 8421) == 7)
    #expect(throws: SettingError.self) { try AdminPortNumber.besideService.port(besideService: 65_000) }
    for text in ["-1", "65536", "x", ""] { #expect(AdminPortNumber(settingText: text) == nil) }
  }

  @Test func callsAndStorageAreCounted() async throws {
    let run = try Run()
    let port = try await run.start { environment in
      let database = try await environment.openDatabase(
        migrations: [Migration(1, "t", sql: "CREATE TABLE t (n BIGINT NOT NULL)")])
      var router = Router()
      router.unary(Self.write) { number, _ in
        guard number != "0" else { throw Status(.invalidArgument, "zero") }
        try await database.write { try $0.execute("INSERT INTO t (n) VALUES ($1)", Int(number) ?? 0) }
        return number
      }
      return ServiceDefinition(router: router, stop: { await database.close() })
    }
    let admin = try await run.admin()
    let client = Client(host: "127.0.0.1", port: port)
    for number in ["1", "2", "0"] { _ = try? await client.unary(Self.write, number, .timeout(.seconds(10))) }
    let calls = "buddy_rpc_server_duration_seconds_count"
    let method = #"method="Write",service="test.Counted""#
    #expect(try await admin.value("\(calls){code=\"OK\",\(method)}") == 2)
    #expect(try await admin.value("\(calls){code=\"INVALID_ARGUMENT\",\(method)}") == 1)
    for number in 1...3 {
      let invented = Method<String, String>("/test.Counted/Write\(number)", request: .text, response: .text)
      let status = await #expect(throws: Status.self) {
        _ = try await client.unary(invented, "1", .timeout(.seconds(10)))
      }
      #expect(status?.code == .unimplemented)
    }
    #expect(try await admin.value("\(calls){code=\"UNIMPLEMENTED\",method=\"unknown\",service=\"unknown\"}") == 3)
    #expect(try await admin.value("buddy_storage_writes_total") == 2)
    #expect(try await admin.value("buddy_storage_batch_size_count") == admin.value("buddy_storage_commits_total"))
    #expect(try await admin.value("buddy_storage_batch_size_sum") == 2)
    #expect(try await admin.value("buddy_storage_waiting_writes") == 0)
    await client.close()
    #expect(await run.stop() == .success)
  }

  private static let write = Method<String, String>("/test.Counted/Write", request: .text, response: .text)
}

extension Codec where Message == String {
  fileprivate static var text: Self { Codec(decode: { String(buffer: $0) }, encode: { $1.writeString($0) }) }
}

import Foundation
import Messages
import RPC
import ServiceTestSupport
import Storage
import Stubs
import Synchronization
import TestSupport
import Testing

@testable import ServiceKit

/// A service run inside the test's process: everything but signals.
final class Run: Sendable {
  let run: ServiceRun
  let lines = Lines()
  let folder: TemporaryFolder
  private let task = Mutex<Task<ExitCode, Never>?>(nil)

  init(_ name: ServiceName = .learning, settings: [any SettingDeclaration] = []) throws {
    folder = try TemporaryFolder("service")
    var run = ServiceRun(name, settings: settings)
    run.output = { [lines] in lines.add($0) }
    run.errors = { [lines] in lines.add($0) }
    self.run = run
  }

  func code(_ arguments: [String], _ make: @escaping ServiceRun.Make = Run.empty) async -> ExitCode {
    await run.run(arguments: arguments + ["--data", folder.path], environment: [:], make)
  }

  /// Starts it and waits until it listens; the port.
  func start(_ arguments: [String] = [], _ make: @escaping ServiceRun.Make = Run.empty) async throws -> Int {
    let started = Task { await code(["--port", "0"] + arguments, make) }
    task.withLock { $0 = started }
    try await eventually("it listens") { ServiceProcess.port(in: lines.text) != nil }
    return try #require(ServiceProcess.port(in: lines.text))
  }

  func stop() async -> ExitCode? {
    run.stops.request(.signal("SIGTERM"))
    return await ended()
  }

  func ended() async -> ExitCode? { await task.withLock { $0 }?.value }

  static let empty: ServiceRun.Make = { _ in ServiceDefinition(router: Router()) }
}

@Suite(.timeLimit(.minutes(2))) struct ServiceRunTests {
  @Test func servesHealthAndStops() async throws {
    let run = try Run()
    let port = try await run.start()
    let client = Client(host: "127.0.0.1", port: port)
    let health = GrpcHealthV1HealthClient(client)
    let whole = try await health.check(.init(), .timeout(.seconds(10)))
    #expect(whole.status == .serving)
    let own = try await health.check(.init(service: "grpc.health.v1.Health"), .timeout(.seconds(10)))
    #expect(own.status == .serving)
    let unknown = await #expect(throws: Status.self) {
      _ = try await health.check(.init(service: "nobody"), .timeout(.seconds(10)))
    }
    #expect(unknown?.code == .notFound)
    await client.close()
    #expect(await run.stop() == .success)
    #expect(run.lines.text.contains("stopped"))
  }

  @Test func watchersOfHealthHearOfTheStop() async throws {
    let run = try Run()
    let client = Client(host: "127.0.0.1", port: try await run.start())
    let watch = try await GrpcHealthV1HealthClient(client).watch(.init(), .timeout(.seconds(60)))
    var statuses: [GrpcHealthV1HealthCheckResponse.ServingStatus] = []
    do {
      for try await answer in watch {
        statuses.append(answer.status)
        if statuses.count == 1 { run.run.stops.request(.signal("SIGTERM")) }
      }
    } catch let status as Status {
      #expect(status.code == .unavailable)
    }
    #expect(statuses == [.serving, .notServing])
    #expect(await run.ended() == .success)
    await client.close()
  }

  @Test func aPortThatIsTakenIsNamed() async throws {
    let first = try Run()
    let port = try await first.start()
    let second = try Run(.progress)
    let stopped = Lines()
    let code = await second.code(["--port", "\(port)", "--admin-port", "0"]) { _ in
      ServiceDefinition(router: Router(), stop: { stopped.add("x") })
    }
    #expect(code == .unavailable)
    #expect(second.lines.text.contains("port \(port) is taken"))
    #expect(second.lines.text.contains("--port"))
    #expect(stopped.text == "x")
    #expect(await first.stop() == .success)
  }

  @Test func usageErrorsAndHelp() async throws {
    let extra = Setting<Int>("maximum-running", default: 64, help: "how many missions run at a time")
    let help = try Run(settings: [extra])
    #expect(await help.code(["--help"]) == .success)
    for text in ["--maximum-running N", "BUDDY_MAXIMUM_RUNNING", "64", "--shutdown-grace", "--execution-address"] {
      #expect(help.lines.text.contains(text), "\(text)")
    }
    let unknown = try Run()
    #expect(await unknown.code(["--prot", "1"]) == .usage)
    #expect(unknown.lines.text.contains("buddy-learning: --prot is unknown"))
    let late = try Run()
    let code = await late.code([]) { _ in throw SettingError("policy", value: "x", expected: "open or closed") }
    #expect(code == .usage)
    #expect(late.lines.text.contains("--policy: \"x\" is not open or closed"))
  }

  @Test(arguments: ["0.0.0.0", "::", "192.168.1.5", "example.org", "1270.0.0.1"])
  func otherMachinesAreKeptOut(_ host: String) async throws {
    let run = try Run()
    #expect(await run.code(["--host", host]) == .usage)
    #expect(run.lines.text.contains("--insecure-allow-network"))
    let settings = try Settings(
      CommonSettings.all(.learning), arguments: ["--host", host, "--insecure-allow-network"], environment: [:])
    #expect(throws: Never.self) { try LoopbackGuard.check(settings, .learning) }
  }

  @Test(arguments: ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
  func loopbackIsFine(_ host: String) {
    #expect(LoopbackGuard.isLoopback(host))
  }

  @Test func aBackgroundTaskThatFailsEndsTheProcess() async throws {
    struct Broken: Error {}
    let run = try Run()
    let code = await run.code(["--port", "0"]) { _ in
      ServiceDefinition(router: Router(), background: [{ throw Broken() }])
    }
    #expect(code == .failure)
    #expect(run.lines.text.contains("Broken"))
  }

  @Test func partsStopInOrder() async throws {
    let run = try Run()
    let log = Lines()
    _ = try await run.start([]) { environment in
      let database = try await environment.openDatabase(migrations: [])
      return ServiceDefinition(
        router: Router(),
        background: [
          {
            do { try await Task.sleep(for: .seconds(3600)) } catch { log.add("background ") }
          }
        ],
        willStop: { log.add("will ") },
        stop: {
          await database.close()
          log.add("stop")
        })
    }
    #expect(FileManager.default.fileExists(atPath: run.folder.file("learning.sqlite3")))
    #expect(await run.stop() == .success)
    #expect(log.text == "will background stop")
  }

  @Test func aDatabaseThatCannotBeCreatedIsCode73() async throws {
    let run = try Run()
    let arguments = ["--data", "/proc/nowhere", "--port", "0"]
    let code = await run.run.run(arguments: arguments, environment: [:]) { environment in
      _ = try await environment.openDatabase(migrations: [])
      return ServiceDefinition(router: Router())
    }
    #expect(code == .cannotCreate)
    #expect(run.lines.text.contains("/proc/nowhere"))
  }

  @Test func errorsAreLoggedAndNotTold() async throws {
    let run = try Run()
    let port = try await run.start([]) { _ in
      var router = Router()
      router.unary(GrpcHealthV1HealthMethods.watchless) { _, _ in throw StorageError.corrupt("/secret/path") }
      return ServiceDefinition(router: router)
    }
    let client = Client(host: "127.0.0.1", port: port)
    let error = await #expect(throws: Status.self) {
      _ = try await client.unary(GrpcHealthV1HealthMethods.watchless, .init(), .timeout(.seconds(10)))
    }
    #expect(error == Status(.internalError, "storage failed"))
    #expect(run.lines.text.contains("/secret/path"))
    await client.close()
    #expect(await run.stop() == .success)
  }

  @Test func aServerOfAnotherKindIsStoppedGracefully() async throws {
    let run = try Run(.gateway)
    let log = Lines()
    let port = try await run.start(["--shutdown-grace", "0s"]) { _ in
      ServiceDefinition(serve: { _, _, listening in
        await listening(4711)
        // Ends by the cancellation that follows the grace.
        try? await Task.sleep(for: .seconds(3600))
        log.add("ended")
      })
    }
    #expect(port == 4711)
    _ = await run.stop()
    #expect(log.text == "ended")
  }
}

extension GrpcHealthV1HealthMethods {
  /// A method no generated stub has.
  fileprivate static let watchless = Method<GrpcHealthV1HealthCheckRequest, GrpcHealthV1HealthCheckResponse>(
    "/test.Failing/Fail", request: .protobuf, response: .protobuf)
}

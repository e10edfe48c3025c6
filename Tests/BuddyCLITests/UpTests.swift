import ArgumentParser
import Foundation
import NIOCore
import NIOPosix
import ServiceKit
import TestSupport
import Testing

@testable import BuddyCLI

@Suite("Before and around `buddy up`", .serialized)
struct UpTests {
  @Test("ports are the gateway's and those above it, in the order of the services")
  func ports() {
    let ports = FleetPorts(from: 9000)
    #expect(ports.service[.gateway] == 9000 && ports.admin[.gateway] == 10_000)
    #expect(Set(ports.service.values).union(ports.admin.values).count == 2 * ServiceFleet.services.count)
    let standard = FleetPorts(from: ServiceName.gateway.defaultPort)
    #expect(standard.service == Dictionary(uniqueKeysWithValues: ServiceFleet.services.map { ($0, $0.defaultPort) }))
    #expect(standard.admin == standard.service.mapValues { $0 + 1000 })
    #expect(FleetPorts(from: FleetPorts.highestGatewayPort).admin.values.max() == 65_535)
  }

  @Test("each service is told its port, its data and where the others are")
  func commands() throws {
    let fleet = ServiceFleet(
      binaries: "/bin", data: "/data", ports: FleetPorts(from: 9000), common: ["--log-level", "debug"])
    let execution = try #require(fleet.commands.first { $0.name == .execution })
    #expect(execution.executable == "/bin/buddy-execution")
    #expect(execution.log == "/data/logs/execution.log")
    let pairs = stride(from: 0, to: execution.arguments.count, by: 2).map {
      "\(execution.arguments[$0]) \(execution.arguments[$0 + 1])"
    }
    #expect(pairs.contains("--port 9001") && pairs.contains("--host 127.0.0.1") && pairs.contains("--data /data"))
    #expect(pairs.contains("--admin-port 10001"))
    #expect(pairs.contains("--progress-address 127.0.0.1:9002") && pairs.contains("--log-level debug"))
    #expect(!pairs.contains { $0.hasPrefix("--execution-address") })
  }

  @Test("a port that is taken is named, with who wanted it and what to do")
  func taken() async throws {
    let channel = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
      .bind(host: "127.0.0.1", port: 0).get()
    let port = try #require(channel.localAddress?.port)
    for isAdmin in [false, true] {
      var ports = FleetPorts()
      if isAdmin { ports.admin[.progress] = port } else { ports.service[.progress] = port }
      let error = await #expect(throws: CommandError.self) { try await PortCheck.check(ports) }
      #expect(error?.exit == .unavailable)
      let message = error?.message ?? ""
      #expect(message.contains("port \(port)") && message.contains("buddy-progress") && message.contains("--port"))
    }
    try await channel.close()
  }

  @Test("free ports are all different")
  func choose() async throws {
    let ports = try await PortCheck.choose(ServiceFleet.services)
    let all = Array(ports.service.values) + Array(ports.admin.values)
    #expect(Set(all).count == 2 * ServiceFleet.services.count)
    #expect(all.allSatisfy { $0 > 0 })
  }

  @Test("where everything listens is in one file, which replaces one that was left over")
  func installationFile() throws {
    let folder = try TemporaryFolder("installation")
    let file = InstallationFile(data: folder.path)
    try "{\"services\": {\"left\": ".write(toFile: file.path, atomically: true, encoding: .utf8)
    try file.write(FleetPorts(from: 8420))
    let data = try #require(FileManager.default.contents(atPath: file.path))
    let json = try JSONSerialization.jsonObject(with: data) as? [String: [String: [String: String]]]
    #expect(json?["services"]?.count == ServiceFleet.services.count)
    #expect(json?["services"]?["execution"] == ["address": "127.0.0.1:8421", "admin": "127.0.0.1:9421"])
    file.remove()
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).isEmpty)
    let error = #expect(throws: CommandError.self) {
      try InstallationFile(data: folder.file("nowhere")).write(FleetPorts(from: 8420))
    }
    #expect(error?.exit == .cannotWrite)
  }

  @Test("a data folder is taken by one at a time")
  func dataFolder() throws {
    let folder = try TemporaryFolder("data")
    var first: DataFolder? = try DataFolder.open(folder.file("new/deep"))
    #expect(first?.path == folder.file("new/deep"))
    let error = #expect(throws: CommandError.self) { try DataFolder.open(folder.file("new/deep")) }
    #expect(error?.code == "DATA_FOLDER_IN_USE")
    #expect(error?.message.contains("process \(getpid())") == true)
    first = nil
    _ = try DataFolder.open(folder.file("new/deep"))
    let mode = try FileManager.default.attributesOfItem(atPath: folder.file("new/deep"))[.posixPermissions] as? Int
    #expect(mode == 0o700)
  }

  @Test("a data folder that cannot be made leaves with 73")
  func noDataFolder() throws {
    let folder = try TemporaryFolder("data")
    try "x".write(toFile: folder.file("file"), atomically: true, encoding: .utf8)
    let error = #expect(throws: CommandError.self) { try DataFolder.open(folder.file("file/data")) }
    #expect(error?.exit == .cannotWrite && error?.message.contains("\(folder.file("file")) is a file") == true)
  }

  @Test("an empty data folder is none, by a flag and by a variable")
  func emptyDataFolder() throws {
    #expect(throws: ValidationError.self) { try DataFolder.check("", environment: [:]) }
    #expect(throws: ValidationError.self) { try DataFolder.check(nil, environment: ["BUDDY_DATA": ""]) }
    try DataFolder.check("/d", environment: ["BUDDY_DATA": ""])
    try DataFolder.check(nil, environment: [:])
  }

  @Test("where the data folder is without a word about it")
  func standardFolder() {
    #expect(standardDataFolder(["XDG_DATA_HOME": "/x", "HOME": "/h"]) == "/x/buddy")
    #expect(standardDataFolder(["XDG_DATA_HOME": "relative", "HOME": "/h"]) == "/h/.local/share/buddy")
    #expect(standardDataFolder(["BUDDY_DATA": "/d", "XDG_DATA_HOME": "/x"]) == "/d")
    // Without a home it is the one that the system knows, and not the root.
    for home in [[:], ["HOME": ""], ["HOME": "relative"]] {
      let folder = standardDataFolder(home)
      #expect(folder.hasPrefix("/") && folder.hasSuffix("/.local/share/buddy") && folder != "/.local/share/buddy")
    }
  }

  @Test("one old log is kept")
  func rotation() throws {
    let folder = try TemporaryFolder("logs")
    let data = try DataFolder.open(folder.path)
    for text in ["first", "second"] {
      try text.write(toFile: folder.file("logs/gateway.log"), atomically: true, encoding: .utf8)
      data.rotateLogs([.gateway, .execution])
    }
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.file("logs")) == ["gateway.log.1"])
    #expect(try String(contentsOfFile: folder.file("logs/gateway.log.1"), encoding: .utf8) == "second")
  }

  @Test("lines are cut where they end, however the bytes come")
  func lines() {
    var splitter = LineSplitter()
    #expect(splitter.consume(Array("a\nb".utf8)) == ["a"])
    #expect(splitter.consume(Array("c\n\nd".utf8)) == ["bc", ""])
    #expect(splitter.consume(repeatElement(UInt8(ascii: "x"), count: LineSplitter.maximumLine)).count == 1)
  }

  @Test("programs that are missing are named before anything starts")
  func missingPrograms() throws {
    let folder = try TemporaryFolder("programs")
    for name in ServiceFleet.services.dropLast() {
      try Scripts.write("exit 0\n", to: folder.file(ServiceFleet.program(name)))
    }
    let fleet = ServiceFleet(binaries: folder.path, data: "", ports: FleetPorts())
    let error = #expect(throws: CommandError.self) { try fleet.checkPrograms() }
    #expect(error?.message.contains("buddy-artifact") == true && error?.message.contains("buddy-gateway") == false)
  }
}

/// The built command itself, with services played by scripts.
@Suite("The command as a process", .serialized)
struct UpProcessTests {
  /// The programs are built beside the tests.
  static var buddy: URL {
    URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath().deletingLastPathComponent()
      .appendingPathComponent("buddy")
  }

  private func start(_ folder: TemporaryFolder, script: String) throws -> (process: Process, errors: Pipe) {
    try FileManager.default.createDirectory(atPath: folder.file("bin"), withIntermediateDirectories: true)
    for name in ServiceFleet.services {
      try Scripts.write("here='\(folder.path)'\n\(script)\n", to: folder.file("bin/\(ServiceFleet.program(name))"))
    }
    let (process, errors) = (Process(), Pipe())
    process.executableURL = Self.buddy
    process.arguments = [
      "up", "--port", "0", "--binaries", folder.file("bin"), "--data", folder.file("data"), "--shutdown-grace", "20s",
    ]
    process.standardError = errors
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    return (process, errors)
  }

  private func lines(_ path: String) -> Int {
    ((try? String(contentsOfFile: path, encoding: .utf8)) ?? "").split(separator: "\n").count
  }

  @Test("when it is killed without a chance to do anything, its services see their input end and are gone")
  func orphans() async throws {
    let folder = try TemporaryFolder("orphans")
    let script = """
      echo up >> "$here/up"
      [ "$BUDDY_EXIT_WITH_PARENT" = true ] && cat > /dev/null
      echo gone >> "$here/gone"
      """
    let (process, _) = try start(folder, script: script)
    try await eventually("all are up") { lines(folder.file("up")) == ServiceFleet.services.count }
    #expect(lines(folder.file("gone")) == 0)
    kill(process.processIdentifier, SIGKILL)
    try await eventually("all are gone") { lines(folder.file("gone")) == ServiceFleet.services.count }
  }

  @Test("SIGTERM stops all services and leaves with 0", arguments: [SIGTERM, SIGINT])
  func stop(_ signal: Int32) async throws {
    let folder = try TemporaryFolder("stop")
    let script = "trap 'echo gone >> \"$here/gone\"; exit 0' TERM; echo up >> \"$here/up\"; \(Scripts.untilOrphaned)"
    let (process, _) = try start(folder, script: script)
    try await eventually("all are up") { lines(folder.file("up")) == ServiceFleet.services.count }
    kill(process.processIdentifier, signal)
    try await eventually("it ended") { !process.isRunning }
    #expect(process.terminationReason == .exit && process.terminationStatus == 0)
    #expect(lines(folder.file("gone")) == ServiceFleet.services.count)
  }

  @Test("a service that cannot run takes everything down, with its last words")
  func failing() async throws {
    let folder = try TemporaryFolder("failing")
    let script = """
      case "$0" in
        *buddy-artifact) echo 'unknown flag --nonsense' >&2; exit 64;;
        *) trap 'exit 0' TERM; \(Scripts.untilOrphaned);;
      esac
      """
    let (process, errors) = try start(folder, script: script)
    try await eventually("it ended") { !process.isRunning }
    let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    #expect(process.terminationStatus == ExitReason.failed.rawValue)
    #expect(text.contains("artifact | unknown flag --nonsense"))
    #expect(text.contains("buddy: SERVICE_FAILED: buddy-artifact: it cannot run as it was started (exit status 64)"))
  }

  @Test("a second one for the same data folder is refused")
  func second() async throws {
    let folder = try TemporaryFolder("second")
    let script = "trap 'exit 0' TERM; echo up >> \"$here/up\"; \(Scripts.untilOrphaned)"
    let (first, _) = try start(folder, script: script)
    try await eventually("all are up") { lines(folder.file("up")) == ServiceFleet.services.count }
    let (second, errors) = try start(folder, script: script)
    try await eventually("it ended") { !second.isRunning }
    let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    #expect(second.terminationStatus == ExitReason.unavailable.rawValue)
    #expect(text.contains("DATA_FOLDER_IN_USE") && text.contains("process \(first.processIdentifier)"))
    kill(first.processIdentifier, SIGTERM)
    try await eventually("the first ended") { !first.isRunning }
    #expect(first.terminationStatus == 0)
  }
}

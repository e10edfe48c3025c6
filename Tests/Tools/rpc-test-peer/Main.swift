import Foundation
import NIOPosix
import RPC

/// The server that Tests/interop/hostile attacks, and the client that it serves badly. Both speak raw bytes, so that
/// nothing but the runtime is measured.
///
///     rpc-test-peer server [option=value …]            prints its port, serves until it is killed
///     rpc-test-peer client HOST:PORT METHOD [option=value …]   prints `grpc-status message` of each call it makes
///
/// An option is a field of `ServerOptions` or `ClientOptions`; times are in milliseconds. `threads` of the server: how
/// many event loops it has, instead of one a core.
@main
enum TestPeer {
  static func main() async {
    do {
      try await run()
    } catch let error as BindError {
      leave("\(error)", status: 69)
    } catch {
      leave("\(error)", status: 64)
    }
  }

  private static func leave(_ reason: String, status: Int32) -> Never {
    FileHandle.standardError.write(Data("rpc-test-peer: \(reason)\n".utf8))
    exit(status)
  }

  private static func run() async throws {
    var arguments = CommandLine.arguments.dropFirst()
    switch arguments.popFirst() {
    case "server": try await serve(Settings(arguments))
    case "client":
      guard let address = arguments.popFirst(), let method = arguments.popFirst() else { throw UsageError("address") }
      try await call(address, method, Settings(arguments))
    default: throw UsageError("server or client")
    }
  }

  private static func serve(_ settings: Settings) async throws {
    var settings = settings
    let group = settings.take("threads").map { MultiThreadedEventLoopGroup(numberOfThreads: $0) }
    var options = ServerOptions()
    try settings.apply(to: &options, numbers: ServerOptions.numbers, times: ServerOptions.times)
    let server = Server(router: Target.router, options: options, group: group, log: { say($0) })
    let address = try await server.start(host: "127.0.0.1", port: 0)
    say("listening on \(address.port)")
    while true { try await Task.sleep(for: .seconds(3_600)) }
  }

  private static func call(_ address: String, _ method: String, _ settings: Settings) async throws {
    guard let colon = address.lastIndex(of: ":"), let port = Int(address[address.index(after: colon)...]) else {
      throw UsageError("HOST:PORT")
    }
    var settings = settings
    let calls = settings.take("calls") ?? 1
    let timeout = Duration.milliseconds(settings.take("timeout") ?? 5_000)
    guard calls >= 0, timeout >= .zero else { throw UsageError("calls and timeout that are not negative") }
    var options = ClientOptions()
    try settings.apply(to: &options, numbers: ClientOptions.numbers, times: ClientOptions.times)
    let client = Client(host: String(address[..<colon]), port: port, options: options)
    for _ in 0..<calls {
      do {
        say("0 \(try await Target.call(method, client, timeout))")
      } catch let status as Status {
        // What the server says must not be able to begin a line of its own.
        let text = status.message.unicodeScalars.map { scalar in
          scalar.properties.generalCategory == .control ? scalar.escaped(asASCII: true) : String(scalar)
        }
        say("\(status.code.rawValue) \(text.joined())")
      }
    }
    await client.close()
  }

  /// Prints a line at once, into a pipe too.
  private static func say(_ line: String) {
    print(line)
    fflush(nil)
  }
}

struct UsageError: Error, CustomStringConvertible {
  let description: String
  init(_ wanted: String) { description = "expected \(wanted)" }
}

/// `name=value` arguments.
struct Settings {
  private var values: [String: Int] = [:]

  init(_ arguments: some Sequence<String>) throws {
    for argument in arguments {
      let parts = argument.split(separator: "=")
      guard parts.count == 2, let value = Int(parts[1]) else { throw UsageError("name=value, not \(argument)") }
      values[String(parts[0])] = value
    }
  }

  mutating func take(_ name: String) -> Int? { values.removeValue(forKey: name) }

  func apply<Options>(
    to options: inout Options, numbers: [String: WritableKeyPath<Options, Int>],
    times: [String: WritableKeyPath<Options, Duration>]
  ) throws {
    for (name, value) in values {
      if let path = numbers[name] {
        options[keyPath: path] = value
      } else if let path = times[name] {
        options[keyPath: path] = .milliseconds(value)
      } else {
        throw UsageError("an option that exists, not \(name)")
      }
    }
  }
}

import Dispatch
import Foundation
import Messages
import RPC
import StandardServices
import Stubs

/// The Echo service of proto/buddy/testing with health and reflection beside it, for foreign clients.
///
/// `rpc-standard-server [--port N] [--connection-age MILLISECONDS] [--grace MILLISECONDS]` prints `listening on PORT`
/// and serves until SIGTERM, then lets calls finish and ends. SIGHUP makes Echo NOT_SERVING, or SERVING again.
@main
enum StandardServer {
  static func main() async {
    do {
      try await serve()
    } catch {
      FileHandle.standardError.write(Data("rpc-standard-server: \(error)\n".utf8))
      exit(error is BindError ? 69 : 64)
    }
  }

  private struct UsageError: Error, CustomStringConvertible {
    let description: String
  }

  private static func serve() async throws {
    let values = try values()
    var options = ServerOptions()
    if let age = values["--connection-age"] { options.maximumConnectionAge = .milliseconds(age) }
    if let grace = values["--grace"] { options.shutdownGrace = .milliseconds(grace) }
    var router = Router()
    router.register(Echo())
    let health = Health(services: router.services)
    router.register(health)
    router.register(Reflection(services: router.services))
    let server = Server(router: router, options: options)
    let address = try await server.start(host: "127.0.0.1", port: values["--port"] ?? 0)
    print("listening on \(address.port)")
    fflush(nil)  // into a pipe, where it would wait for more
    for await signal in signals(SIGTERM, SIGHUP) {
      if signal == SIGTERM { break }
      let isServing = health.status(of: "buddy.testing.v1.Echo") == .serving
      health.set(isServing ? .notServing : .serving, for: "buddy.testing.v1.Echo")
    }
    health.stop()
    await server.shutdown()
  }

  /// The numbers behind the flags.
  private static func values() throws -> [String: Int] {
    var values: [String: Int] = [:]
    var arguments = CommandLine.arguments.dropFirst()
    while let flag = arguments.popFirst() {
      guard ["--port", "--connection-age", "--grace"].contains(flag) else {
        throw UsageError(description: "there is no option \(flag)")
      }
      guard let value = arguments.popFirst().flatMap({ Int($0) }), value >= 0 else {
        throw UsageError(description: "\(flag) needs a number")
      }
      values[flag] = value
    }
    return values
  }

  /// The signals that came since, as long as the process lives.
  private static func signals(_ numbers: Int32...) -> AsyncStream<Int32> {
    let (stream, continuation) = AsyncStream.makeStream(of: Int32.self)
    for number in numbers {
      signal(number, SIG_IGN)
      let source = DispatchSource.makeSignalSource(signal: number)
      source.setEventHandler { continuation.yield(number) }
      source.resume()
      _ = Unmanaged.passRetained(source as AnyObject)  // for good: a source that is let go hears no more
    }
    return stream
  }
}

struct Echo: EchoHandler {
  func say(_ request: EchoMessage, _ context: ServerContext) async throws -> EchoMessage { request }

  func expand(
    _ request: ExpandRequest, _ responses: ResponseWriter<EchoMessage>, _ context: ServerContext
  ) async throws {
    for _ in 0..<request.count { try await responses.write(EchoMessage(text: request.text)) }
  }

  func collect(_ requests: RequestStream<EchoMessage>, _ context: ServerContext) async throws -> EchoMessage {
    var text = ""
    for try await request in requests { text += request.text }
    return EchoMessage(text: text)
  }

  func chat(
    _ requests: RequestStream<EchoMessage>, _ responses: ResponseWriter<EchoMessage>, _ context: ServerContext
  ) async throws {
    for try await request in requests { try await responses.write(request) }
  }
}

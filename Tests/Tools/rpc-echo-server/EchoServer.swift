import Dispatch
import Foundation
import Messages
import NIOPosix
import RPC
import StandardServices
import Stubs

/// The Echo service of proto/buddy/testing with health and reflection beside it: for foreign clients, and as the peer
/// of `grpc-cpp-echo`, with real decoding and encoding.
///
///     rpc-echo-server [--port N] [--threads N] [--connection-age MILLISECONDS] [--grace MILLISECONDS]
///       [--certificate FILE --key FILE]
///
/// Prints `listening on PORT` and serves until SIGTERM, then lets calls finish and ends. SIGHUP makes Echo NOT_SERVING,
/// or SERVING again. With a certificate and its key (PEM files) it serves TLS.
@main
enum EchoServer {
  static func main() async {
    do {
      try await serve(Arguments(CommandLine.arguments.dropFirst()))
    } catch {
      FileHandle.standardError.write(Data("rpc-echo-server: \(error)\n".utf8))
      exit(error is BindError ? 69 : 64)
    }
  }

  private static func serve(_ arguments: Arguments) async throws {
    var router = Router()
    router.register(Echo())
    let health = Health(services: router.services)
    router.register(health)
    router.register(Reflection(services: router.services))
    let group = try arguments.number("--threads").map { MultiThreadedEventLoopGroup(numberOfThreads: $0) }
    let server = Server(router: router, options: try options(arguments), group: group)
    let address = try await server.start(host: "127.0.0.1", port: try arguments.number("--port") ?? 0)
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

  private static func options(_ arguments: Arguments) throws -> ServerOptions {
    var options = ServerOptions()
    if let age = try arguments.number("--connection-age") { options.maximumConnectionAge = .milliseconds(age) }
    if let grace = try arguments.number("--grace") { options.shutdownGrace = .milliseconds(grace) }
    switch (arguments["--certificate"], arguments["--key"]) {
    case (let certificate?, let key?):
      options.tls = try ServerTLS(certificate: CertificateFiles(chain: certificate, key: key))
    case (nil, nil): break
    default: throw UsageError(description: "--certificate and --key go together")
    }
    return options
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

struct UsageError: Error, CustomStringConvertible {
  let description: String
}

/// Flags, each with a value behind it.
struct Arguments {
  private static let flags: Set = ["--port", "--threads", "--connection-age", "--grace", "--certificate", "--key"]
  private var values: [String: String] = [:]

  init(_ words: ArraySlice<String>) throws {
    var words = words
    while let flag = words.popFirst() {
      guard Self.flags.contains(flag) else { throw UsageError(description: "there is no option \(flag)") }
      guard let value = words.popFirst() else { throw UsageError(description: "\(flag) needs a value") }
      values[flag] = value
    }
  }

  subscript(_ flag: String) -> String? { values[flag] }

  func number(_ flag: String) throws -> Int? {
    guard let value = values[flag] else { return nil }
    guard let number = Int(value), number >= 0 else { throw UsageError(description: "\(flag) needs a number") }
    return number
  }
}

struct Echo: EchoHandler {
  func say(_ request: EchoMessage, _ context: ServerContext) async throws -> EchoMessage { request }

  func expand(
    _ request: ExpandRequest, _ responses: ResponseWriter<EchoMessage>, _ context: ServerContext
  ) async throws {
    guard request.count >= 0 else { throw Status.badRequest([("count", "must not be negative")]) }
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

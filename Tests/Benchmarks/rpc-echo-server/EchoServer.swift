import Foundation
import Messages
import NIOPosix
import RPC
import Stubs

/// The peer of `grpc-cpp-echo`: the Echo service of proto/buddy/testing on one thread, with real decoding and encoding.
/// Prints its port and serves until it is killed. Arguments: none, or a certificate and its key (PEM files) for TLS.
@main
enum EchoServer {
  static func main() async {
    do {
      try await serve()
    } catch {
      FileHandle.standardError.write(Data("rpc-echo-server: \(error)\n".utf8))
      exit(error is BindError ? 69 : 64)
    }
  }

  struct UsageError: Error, CustomStringConvertible {
    let description = "expected no arguments, or CERTIFICATE KEY"
  }

  private static func serve() async throws {
    var router = Router()
    router.register(Echo())
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    var options = ServerOptions()
    let files = CommandLine.arguments.dropFirst().map(\.self)
    guard files.isEmpty || files.count == 2 else { throw UsageError() }
    if files.count == 2 { options.tls = try ServerTLS(certificate: CertificateFiles(chain: files[0], key: files[1])) }
    let server = Server(router: router, options: options, group: group)
    let address = try await server.start(host: "127.0.0.1", port: 0)
    print("listening on \(address.port)")
    fflush(nil)  // into a file, where it would wait for more
    while true { try await Task.sleep(for: .seconds(3_600)) }
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

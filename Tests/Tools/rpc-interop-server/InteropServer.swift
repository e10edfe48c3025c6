import ArgumentParser
import Foundation
import RPC
import Stubs

/// The server of gRPC's interoperability tests (grpc/doc/interop-test-descriptions.md, "Server"). Prints the port it
/// listens on and serves until it is killed.
@main
struct InteropServer: AsyncParsableCommand {
  static let configuration = CommandConfiguration(commandName: "rpc-interop-server")

  @Option(help: "The address to listen on.")
  var host = "127.0.0.1"

  @Option(help: "The port to listen on; 0 for any that is free.")
  var port = 0

  func run() async throws {
    var router = Router()
    router.register(TestService())
    let server = Server(router: router)
    let address = try await server.start(host: host, port: port)
    print("listening on \(address.port)")
    fflush(nil)  // into a pipe, where it would wait for more
    while true { try await Task.sleep(for: .seconds(3_600)) }
  }
}

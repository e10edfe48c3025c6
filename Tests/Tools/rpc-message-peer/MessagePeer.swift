import Foundation
import Messages
import RPC
import Stubs

/// What travels in a call, with a peer written with another library: `serve` is a server that prints its port and does
/// what the metadata of a call asks for; `call PORT` makes calls and prints a line for each, what it sent and saw.
@main
enum MessagePeer {
  static func main() async {
    let arguments = CommandLine.arguments.dropFirst()
    do {
      switch arguments.first {
      case "serve": try await serve()
      case "call":
        guard let port = arguments.dropFirst().first.flatMap({ Int($0) }) else { fallthrough }
        try await Caller(port: port).run()
      default:
        print("usage: rpc-message-peer serve | call PORT")
        exit(2)
      }
    } catch {
      FileHandle.standardError.write(Data("rpc-message-peer: \(error)\n".utf8))
      exit(1)
    }
  }

  private static func serve() async throws {
    var router = Router()
    router.register(AskedEcho())
    let address = try await Server(router: router).start(host: "127.0.0.1", port: 0)
    print("listening on \(address.port)")
    fflush(nil)  // into a pipe, where it would wait for more
    while true { try await Task.sleep(for: .seconds(3_600)) }
  }
}

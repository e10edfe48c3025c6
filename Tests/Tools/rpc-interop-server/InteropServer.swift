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

  @Flag(help: "TLS, with the certificate and key given.")
  var tls = false

  @Option(name: .customLong("use_tls"), help: "The same, as the descriptions write it: true or false.")
  var usesTLS = false

  @Option(help: "The PEM file of the certificate, with those between it and the root.")
  var certificate: String?

  @Option(help: "The PEM file of the certificate's key.")
  var key: String?

  @Option(help: "The PEM file of the authority of clients' certificates; without it none is asked for.")
  var clientCA: String?

  func validate() throws {
    if tls || usesTLS {
      guard certificate == nil || key == nil else { return }
      throw ValidationError("TLS needs --certificate and --key")
    }
    guard certificate != nil || key != nil || clientCA != nil else { return }
    throw ValidationError("--certificate, --key and --client-ca are for TLS: give --tls, too")
  }

  private func options() throws -> ServerOptions {
    var options = ServerOptions()
    guard tls || usesTLS, let certificate, let key else { return options }
    options.tls = try ServerTLS(
      certificate: CertificateFiles(chain: certificate, key: key),
      clientCertificates: clientCA.map { .required(ca: $0) } ?? .none)
    return options
  }

  func run() async throws {
    var router = Router()
    router.register(TestService())
    let server = Server(router: router, options: try options())
    let address = try await server.start(host: host, port: port)
    print("listening on \(address.port)")
    fflush(nil)  // into a pipe, where it would wait for more
    while true { try await Task.sleep(for: .seconds(3_600)) }
  }
}

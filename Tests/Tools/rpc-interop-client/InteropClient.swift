import ArgumentParser
import RPC
import Stubs

/// The client of gRPC's interoperability tests (grpc/doc/interop-test-descriptions.md, "Client"): runs one case against
/// a server. Exits with 0 if the case passed, with 1 and the reason if it did not, with 64 if there is no such case.
///
/// Takes its options with `-` as with `_` between words: the descriptions write them with `_`.
@main
struct InteropClient: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rpc-interop-client",
    discussion: "Cases: \(Cases.all.keys.sorted().joined(separator: ", ")).")

  @Option(name: [.customLong("server-host"), .customLong("server_host")], help: "The server's name or address.")
  var host = "127.0.0.1"

  @Option(name: [.customLong("server-port"), .customLong("server_port")], help: "The server's port.")
  var port: Int

  @Option(name: [.customLong("test-case"), .customLong("test_case")], help: "The case to run; large_unary by default.")
  var name = "large_unary"

  @Option(
    name: [.customLong("call-timeout-seconds"), .customLong("call_timeout_seconds")], help: "Seconds a call may take.")
  var timeout = 30

  @OptionGroup var security: SecurityOptions
  @OptionGroup var soak: SoakOptions

  func validate() throws {
    if let reason = Cases.refused[name] { throw ValidationError("\(name) is refused: \(reason)") }
    guard Cases.all[name] != nil else { throw ValidationError("there is no case \(name)") }
    guard timeout > 0 else { throw ValidationError("--call-timeout-seconds must be above 0") }
    guard UInt16(exactly: port) != nil else { throw ValidationError("--server-port must be 0 to 65535") }
  }

  func run() async throws {
    guard let test = Cases.all[name] else { return }
    let (host, port) = (host, port)
    var options = ClientOptions()
    options.tls = try security.tls()
    options.methods = [MethodConfiguration(.all, timeout: .seconds(timeout))]
    let setting = Setting(soak: soak) { [options] in Client(host: host, port: port, options: options) }
    do {
      try await test(setting)
      await setting.client.close()
      print("\(name): passed")
    } catch {
      print("\(name): \(printable("\(error)"))")
      throw ExitCode(1)
    }
  }
}

/// How the client knows its server.
struct SecurityOptions: ParsableArguments {
  @Flag(name: .customLong("use-tls"), help: "TLS.")
  var flag = false

  @Option(name: .customLong("use_tls"), help: "The same, as the descriptions write it: true or false.")
  var usesTLS = false

  @Option(help: "The PEM file of the authority to trust, instead of the system's.")
  var ca: String?

  @Option(
    name: [.customLong("server-host-override"), .customLong("server_host_override")],
    help: "The name that the server's certificate must have, instead of the host's.")
  var serverName: String?

  @Option(help: "The PEM file of the certificate to show.")
  var certificate: String?

  @Option(help: "The PEM file of that certificate's key.")
  var key: String?

  func validate() throws {
    guard flag || usesTLS || [ca, serverName, certificate, key].allSatisfy({ $0 == nil }) else {
      throw ValidationError("--ca, --server-host-override, --certificate and --key are for TLS: give --use-tls, too")
    }
    guard (certificate == nil) == (key == nil) else { throw ValidationError("--certificate and --key go together") }
  }

  /// Nil for plain text.
  func tls() throws -> ClientTLS? {
    guard flag || usesTLS else { return nil }
    var files: CertificateFiles?
    if let certificate, let key { files = CertificateFiles(chain: certificate, key: key) }
    return try ClientTLS(
      trust: ca.map { .ca(file: $0) } ?? .systemRoots, certificate: files, serverName: serverName)
  }
}

/// How long and how hard the soak cases try.
struct SoakOptions: ParsableArguments {
  /// A year, in seconds.
  static let maximumTimeout = 31_536_000

  @Option(name: [.customLong("soak-iterations"), .customLong("soak_iterations")], help: "Calls in all.")
  var iterations = 10

  @Option(
    name: [.customLong("soak-max-failures"), .customLong("soak_max_failures")], help: "Calls that may fail or be late.")
  var maximumFailures = 0

  @Option(
    name: [
      .customLong("soak-per-iteration-max-acceptable-latency-ms"),
      .customLong("soak_per_iteration_max_acceptable_latency_ms"),
    ], help: "Milliseconds that a call may take.")
  var latency = 1_000

  @Option(
    name: [.customLong("soak-overall-timeout-seconds"), .customLong("soak_overall_timeout_seconds")],
    help: "Seconds that all calls may take.")
  var timeout = 60

  func validate() throws {
    guard iterations > 0 else { throw ValidationError("--soak-iterations must be above 0") }
    guard latency >= 0 else { throw ValidationError("--soak-per-iteration-max-acceptable-latency-ms is below 0") }
    guard (1...Self.maximumTimeout).contains(timeout) else {
      throw ValidationError("--soak-overall-timeout-seconds must be 1 to \(Self.maximumTimeout)")
    }
  }
}

/// What a case works with.
struct Setting: Sendable {
  let soak: SoakOptions
  let client: Client
  let connect: @Sendable () -> Client
  var service: GrpcTestingTestServiceClient { GrpcTestingTestServiceClient(client) }

  init(soak: SoakOptions, connect: @escaping @Sendable () -> Client) {
    self.soak = soak
    self.connect = connect
    client = connect()
  }
}

/// What a server said must not be able to steer the terminal that it is shown on.
func printable(_ text: String) -> String {
  text.unicodeScalars.map { scalar in
    scalar.properties.generalCategory == .control ? scalar.escaped(asASCII: true) : String(scalar)
  }.joined()
}

/// Why a case did not pass.
struct Failure: Error, CustomStringConvertible {
  let description: String
}

func expect(_ condition: Bool, _ failure: @autoclosure () -> String) throws {
  if !condition { throw Failure(description: failure()) }
}

func expect<Value: Equatable>(_ what: String, _ value: Value, is wanted: Value) throws {
  try expect(value == wanted, "\(what) is \(value) instead of \(wanted)")
}

/// The call must fail with this code.
@discardableResult
func expect(
  _ code: Status.Code, of what: String, _ call: () async throws -> Void
) async throws -> Status {
  do {
    try await call()
  } catch let status as Status {
    try expect(status.code == code, "\(what) ended with \(status) instead of \(code.name)")
    return status
  }
  throw Failure(description: "\(what) succeeded instead of ending with \(code.name)")
}

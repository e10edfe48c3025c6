import RPC
import ServiceKit

@main
enum Main {
  static let allowedHosts = Setting<[String]>(
    "allowed-host", default: [],
    help: "names by which the gateway is reached besides loopback, for example behind a proxy")
  static let maximumUpload = Setting<Int>(
    "maximum-upload-bytes", default: 256 << 20, help: "the largest file that may be uploaded, in bytes",
    in: 1...(1 << 40))
  static let upstreamTimeout = Setting<Duration>(
    "upstream-timeout", default: .seconds(10), help: "how long a service may take to answer",
    in: .milliseconds(1)...(.seconds(3600)))

  static func main() async {
    await runService(.gateway, settings: [allowedHosts, maximumUpload, upstreamTimeout]) { environment in
      let settings = environment.settings
      let upstreams = Upstreams(timeout: settings[upstreamTimeout]) { environment.makeClient($0) }
      let metrics = GatewayMetrics(environment.metrics)
      return ServiceDefinition(serve: { host, port, listening in
        var options = GatewayOptions()
        options.host = host
        options.port = port
        options.allowedHosts = settings[allowedHosts]
        options.maximumUpload = settings[maximumUpload]
        let gateway = Gateway(
          options: options, upstreams: upstreams, logger: environment.logger, metrics: metrics,
          tracer: environment.tracer)
        try await gateway.run(onListening: listening)
      })
    }
  }
}

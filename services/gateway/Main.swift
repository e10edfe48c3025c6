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
  static let maximumSockets = Setting<Int>(
    "maximum-websockets", default: 2048, help: "how many WebSockets may be open at once", in: 1...1_000_000)
  static let maximumSubscriptions = Setting<Int>(
    "maximum-subscriptions", default: 64, help: "how many things one WebSocket may watch at once", in: 1...10_000)
  static let watcherBytes = Setting<Int>(
    "watcher-buffer-bytes", default: 256 << 10,
    help: "what may wait to be sent to one WebSocket, in bytes; one that reads slowly gets the rest later",
    in: (64 << 10)...(64 << 20))
  static let feedEvents = Setting<Int>(
    "feed-events", default: 1024, help: "how many events of each watched thing are kept for slow watchers",
    in: 16...1_000_000)
  static let maximumFeeds = Setting<Int>(
    "maximum-feeds", default: 4096, help: "how many different things may be watched at once", in: 1...1_000_000)

  static func main() async {
    let own: [any SettingDeclaration] = [
      allowedHosts, maximumUpload, upstreamTimeout, maximumSockets, maximumSubscriptions, watcherBytes, feedEvents,
      maximumFeeds,
    ]
    await runService(.gateway, settings: own) { environment in
      let settings = environment.settings
      let upstreams = Upstreams(timeout: settings[upstreamTimeout]) { environment.makeClient($0) }
      let metrics = GatewayMetrics(environment.metrics)
      return ServiceDefinition(serve: { host, port, listening in
        var options = GatewayOptions()
        options.host = host
        options.port = port
        options.allowedHosts = settings[allowedHosts]
        options.maximumUpload = settings[maximumUpload]
        options.sockets.maximumSockets = settings[maximumSockets]
        options.sockets.maximumSubscriptions = settings[maximumSubscriptions]
        options.sockets.watcherBytes = settings[watcherBytes]
        options.feeds.ring.events = settings[feedEvents]
        options.feeds.maximumFeeds = settings[maximumFeeds]
        let gateway = Gateway(
          options: options, upstreams: upstreams, logger: environment.logger, metrics: metrics,
          tracer: environment.tracer)
        try await gateway.run(onListening: listening)
      })
    }
  }
}

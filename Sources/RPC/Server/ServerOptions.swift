import HTTP2
import NIOCore

/// A server's limits. A server never trusts a peer: every limit is on by default.
public struct ServerOptions: Sendable {
  /// The longest request message taken, in bytes; a longer one ends its call with RESOURCE_EXHAUSTED before it is kept.
  public var maximumRequestBytes = 4 * 1024 * 1024
  /// The longest response message sent, in bytes; a longer one ends its call with RESOURCE_EXHAUSTED.
  public var maximumResponseBytes = 4 * 1024 * 1024
  /// How responses are compressed where the caller takes it; `ServerContext.compressResponses` says it for one call.
  public var compression = Compression.none
  /// Messages shorter than this are sent as they are, in bytes; so are those that do not get shorter.
  public var compressionThreshold = 1024
  /// Takes requests that are compressed. Otherwise they end with UNIMPLEMENTED.
  public var acceptsCompressed = true
  /// Calls that one connection may have open at once, at least 1. As many that are over are remembered, too.
  public var maximumStreams = 100
  /// Handlers that may run at once for one connection, those included whose call was cancelled: a peer that opens and
  /// resets streams gets no more than this. Over it, calls end with RESOURCE_EXHAUSTED.
  public var maximumHandlers = 200
  /// Connections at once; over it, new ones are closed at once.
  public var maximumConnections = 1_000
  /// Connections at once from one IP address (of IPv6, from one /64: a single host owns that many), so that one peer
  /// cannot take all. Unix sockets have no address and are not counted.
  public var maximumConnectionsPerPeer = 256
  /// The size of a request's metadata, each entry counted as name + value + 32 bytes. Over it: RESOURCE_EXHAUSTED.
  public var maximumMetadataBytes = 16 * 1024
  /// Entries of a request's metadata, the protocol's own headers included.
  public var maximumMetadataEntries = 100
  /// Bytes a caller may send on one call beyond what its handler has read; bounds memory with `maximumStreams`. From 1
  /// to 2^31 − 1 (RFC 9113 §6.9.1); what is outside counts as the nearest of these.
  public var streamWindow = 256 * 1024
  /// Bytes that may be on their way on one connection; the same range.
  public var connectionWindow = 1024 * 1024
  /// Bytes that one connection may make the server hold, of requests and of responses.
  ///
  /// Of requests, whole or not, until their handlers take them: over it, one whose call has one request and one that a
  /// handler waits for are given window, so all are served, one after another. Beyond it there are at most these two
  /// messages and a `streamWindow` for each stream.
  ///
  /// Of responses, until the peer takes them: over it, no handler begins. Calls wait (their deadlines go on), in order.
  /// Beyond it there is at most what handlers answer that ran already: each one message and 64 KiB.
  public var maximumBufferedBytes = 8 * 1024 * 1024

  /// Resets that a peer may send at once (rapid reset, CVE-2023-44487) …
  public var resetBurst = 200
  /// … and per second after that. Over it the connection is closed.
  public var resetsPerSecond = 20
  /// Resets that a peer may provoke in 10 s (MadeYouReset, CVE-2025-8671).
  public var maximumProvokedResets = 100
  /// The shortest time between PINGs while nothing is sent …
  public var minimumPingInterval: Duration = .seconds(300)
  /// … and how many may come sooner before the connection is closed ("too_many_pings").
  public var pingStrikes = 2
  /// SETTINGS frames that a peer may send in a minute; at least 1.
  public var settingsPerMinute = 10
  /// Frames without progress (empty DATA, PRIORITY, WINDOW_UPDATE, unknown) that a peer may send in 10 s; at least 10.
  /// Each piece of
  /// DATA and each header block, either way, makes good for four.
  public var maximumIdleFrames = 10_000

  /// A connection must have sent its preface and SETTINGS by then, and have acknowledged ours; it must finish each
  /// header block within this.
  public var handshakeTimeout: Duration = .seconds(10)
  /// A call whose request is one message must have sent it by then, or ends with DEADLINE_EXCEEDED. So does a stream of
  /// requests within whose message that time passes; between messages it may rest as long as its handler waits. Time in
  /// which the peer has to wait for other requests of its connection (`maximumBufferedBytes`) does not count while
  /// these get on.
  public var requestTimeout: Duration = .seconds(60)
  /// While bytes wait for the peer's socket, it must take `minimumReadRate` bytes a second of them, on average over
  /// this time, or it is cut off. Responses that are held must be taken within ten times this, whatever they wait for:
  /// the connection has to take as many bytes as were held at the beginning of that time. Over `maximumBufferedBytes`
  /// it has to take a tenth of them, and no less than `minimumReadRate` demands, within this.
  public var writeStallTimeout: Duration = .seconds(30)
  /// See `writeStallTimeout`.
  public var minimumReadRate = 1_024
  /// Lines a second that the server logs of connections refused or cut off; it counts those it leaves out.
  public var logLinesPerSecond = 20
  /// How long `shutdown` lets calls finish.
  public var shutdownGrace: Duration = .seconds(30)

  /// A connection this old, ±10 %, is drained: GOAWAY, and closed when its calls have finished. Nil: however old.
  public var maximumConnectionAge: Duration?
  /// After this its calls are ended with UNAVAILABLE all the same. Nil: never.
  public var maximumConnectionAgeGrace: Duration?
  /// A connection without calls for that long is drained. Nil: never.
  public var maximumConnectionIdle: Duration?
  /// A peer that was silent for that long is sent a PING; nil for never …
  public var keepaliveInterval: Duration? = .seconds(7_200)
  /// … and one that does not answer for that long has gone: the connection is closed.
  public var keepaliveTimeout: Duration = .seconds(20)

  /// TLS on every connection; nil for plain text. Its handshake is part of `handshakeTimeout`.
  public var tls: ServerTLS?

  public init() {}

  var session: Session.Configuration {
    var result = Session.Configuration()
    result.maximumStreams = maximumStreams
    result.maximumHeaderBytes = maximumMetadataBytes
    result.maximumHeaderFields = maximumMetadataEntries
    result.streamWindow = streamWindow
    result.connectionWindow = connectionWindow
    return result
  }

  var flood: FloodGuard.Limits {
    var result = FloodGuard.Limits()
    result.resets = (resetBurst, resetsPerSecond)
    result.pingInterval = minimumPingInterval.nanoseconds
    result.pingStrikes = pingStrikes
    result.settingsPerMinute = settingsPerMinute
    result.idleFrames = maximumIdleFrames
    result.provokedResets = maximumProvokedResets
    return result
  }
}

extension Duration {
  /// Whole nanoseconds, at the ends of `Int64` for what does not fit.
  var nanoseconds: Int64 {
    let (seconds, attoseconds) = components
    let (whole, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
    let (sum, isPast) = whole.addingReportingOverflow(attoseconds / 1_000_000_000)
    return overflow || isPast ? (seconds < 0 ? .min : .max) : sum
  }

  var timeAmount: TimeAmount { .nanoseconds(nanoseconds) }
}

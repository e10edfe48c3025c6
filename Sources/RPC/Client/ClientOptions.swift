import HTTP2

/// How a client connects, and what it takes from a server.
public struct ClientOptions: Sendable {
  /// To connect to an address and to hear the server's SETTINGS (gRPC: 20 s); also to resolve the name.
  public var connectTimeout: Duration = .seconds(5)
  /// With pick first: when an address has neither connected nor failed after this long, the next one is tried beside
  /// it, until one connects ("happy eyeballs", RFC 8305 §5, gRFC A61). Less than 100 ms counts as that, and more than
  /// 2 s as that.
  public var connectionAttemptDelay: Duration = .milliseconds(250)
  /// After a failed attempt no other is made for about this long (gRPC: 1 s) …
  public var minimumBackoff: Duration = .milliseconds(100)
  /// … then for this many times longer after each further failure …
  public var backoffMultiplier = 1.6
  /// … up to this (gRPC: 120 s). Each is spread by ±20 %, so that many clients do not come at once. It begins anew with
  /// a connection; after one that did not last `minimumBackoff`, that long passes before the next.
  public var maximumBackoff: Duration = .seconds(10)
  /// How calls are spread over the target's addresses.
  public var loadBalancing = LoadBalancing.pickFirst
  /// The most connections to one address: one more is made while every one is at the server's limit of streams.
  public var connectionsPerAddress = 1
  /// Calls that wait for a connection or for room on one; those beyond end with RESOURCE_EXHAUSTED.
  public var maximumQueuedCalls = 100_000
  /// A client that nothing was called on for this long closes its connections, until the next call; so do connections
  /// that are more than needed. Up to a quarter later. Nil for never.
  public var idleTimeout: Duration? = .seconds(1800)
  /// Finds a name's addresses.
  public var resolver: any NameResolver = SystemResolver()
  /// A name is resolved again when connections fail or are lost, and this long after the last answer, while the client
  /// is in use; nil for only the former.
  public var resolveInterval: Duration? = .seconds(300)
  /// … but no sooner than this after the last answer.
  public var minimumResolveInterval: Duration = .seconds(30)
  /// What requests say they are for (`:authority`); nil for the target's host and port.
  public var authority: String?
  /// The longest response message taken, in bytes; a longer one ends its call with RESOURCE_EXHAUSTED.
  public var maximumResponseBytes = 4 * 1024 * 1024
  /// The longest request message sent, in bytes.
  public var maximumRequestBytes = 4 * 1024 * 1024
  /// The size of a response's metadata, each entry counted as name + value + 32 bytes.
  public var maximumMetadataBytes = 16 * 1024
  /// Bytes a server may send on one call beyond what was read. From 1 to 2^31 − 1 (RFC 9113 §6.9.1); what is outside
  /// counts as the nearest of these.
  public var streamWindow = 256 * 1024
  /// Bytes that may be on their way on one connection; the same range.
  public var connectionWindow = 1024 * 1024
  /// While calls are open and nothing comes, a PING is sent after this long, or up to a quarter later; nil for never.
  /// Calls that begin and end meanwhile, as those do that time out, change nothing. Doubled each time that a server
  /// says "too_many_pings" (gRFC A8), as it does when asked more often than its `minimumPingInterval`.
  public var keepaliveInterval: Duration?
  /// A PING after which nothing comes for this long ends the connection, its calls with UNAVAILABLE.
  public var keepaliveTimeout: Duration = .seconds(20)
  /// Send PINGs while no calls are open, too.
  public var keepaliveWithoutCalls = false
  /// SETTINGS frames that a server may send in a minute, at least 1; over it the connection ends.
  public var settingsPerMinute = 10
  /// Frames without progress (PING, 1xx responses, WINDOW_UPDATE) that a server may send in 10 s, at least 10; over it
  /// the connection ends.
  public var maximumIdleFrames = 10_000
  /// TLS to the server; nil for plain text. Its handshake is part of `connectTimeout`.
  public var tls: ClientTLS?
  /// What the program calls itself, `name/version`: sent in front of the library's own name, `buddy-rpc/1.0`.
  public var userAgent = ""
  /// How requests are compressed; `CallOptions.compression` says it for one call. A server that does not take it
  /// answers UNIMPLEMENTED.
  public var compression = Compression.none
  /// Messages shorter than this are sent as they are, in bytes; so are those that do not get shorter.
  public var compressionThreshold = 1024
  /// Tells servers that responses may be compressed. Otherwise one that is ends its call with INTERNAL.
  public var acceptsCompressed = true

  /// What is done with calls of certain methods: timeouts, limits, retries, hedging.
  public var methods: [MethodConfiguration] = []
  /// Stops retries and hedging while the server fails too often; nil: they are not stopped.
  public var retryThrottling: RetryThrottling?
  /// Bytes of a call's request that are kept to send it again, until the server's headers come; a longer request is no
  /// longer retried. Zero: only requests of one message are sent again, and only if the server did not look at them.
  public var replayBytes = 256 * 1024
  /// Bytes of all calls' requests together that are kept so.
  public var replayBytesOfAllCalls = 16 * 1024 * 1024

  public init() {}

  var session: Session.Configuration {
    var result = Session.Configuration()
    result.maximumHeaderBytes = maximumMetadataBytes
    result.streamWindow = streamWindow
    result.connectionWindow = connectionWindow
    return result
  }

  var flood: FloodGuard.Limits {
    var result = FloodGuard.Limits()
    result.resets = nil
    result.pingStrikes = nil
    result.settingsPerMinute = settingsPerMinute
    result.idleFrames = maximumIdleFrames
    result.provokedResets = .max  // at most one for each call of ours
    return result
  }

  /// What every request says of this client: its name, and what it takes.
  var requestEnd: HeaderBlock {
    let own = userAgent.unicodeScalars.filter { (" "..."~").contains($0) }
    let name = own.isEmpty ? Self.libraryName : "\(String(String.UnicodeScalarView(own))) \(Self.libraryName)"
    var block: HeaderBlock = ["te": "trailers", "content-type": "application/grpc", "user-agent": name]
    if acceptsCompressed { block.append("grpc-accept-encoding", Compression.accepted) }
    return block
  }

  private static let libraryName = "buddy-rpc/1.0"
}

/// What one call asks for.
public struct CallOptions: Sendable {
  /// When to give up; the earlier of this and `Deadline.current`. Nil: only the latter, if there is one.
  public var deadline: Deadline?
  /// Sent with the request.
  public var metadata: Metadata
  /// Wait for a server that cannot be reached, until the deadline, instead of failing at once.
  public var waitForReady = false
  /// How this call's requests are compressed; nil: as `ClientOptions.compression` says.
  public var compression: Compression?

  public init(deadline: Deadline? = nil, metadata: Metadata = [:], waitForReady: Bool = false) {
    self.deadline = deadline
    self.metadata = metadata
    self.waitForReady = waitForReady
  }

  /// - Parameter duration: From now.
  public static func timeout(_ duration: Duration) -> CallOptions { CallOptions(deadline: .after(duration)) }

  var effectiveDeadline: Deadline? {
    guard let deadline else { return Deadline.current }
    return min(deadline, Deadline.current ?? .never)
  }
}

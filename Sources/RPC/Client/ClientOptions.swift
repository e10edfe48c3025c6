import HTTP2

/// How a client connects, and what it takes from a server.
public struct ClientOptions: Sendable {
  /// To connect and to hear the server's SETTINGS.
  public var connectTimeout: Duration = .seconds(5)
  /// After a failed attempt no other is made for about this long, doubled with each failure …
  public var minimumBackoff: Duration = .milliseconds(100)
  /// … up to this. Each is spread by ±20 %, so that many clients do not come at once.
  public var maximumBackoff: Duration = .seconds(10)
  /// The longest response message taken, in bytes; a longer one ends its call with RESOURCE_EXHAUSTED.
  public var maximumResponseBytes = 4 * 1024 * 1024
  /// The longest request message sent, in bytes.
  public var maximumRequestBytes = 4 * 1024 * 1024
  /// The size of a response's metadata, each entry counted as name + value + 32 bytes.
  public var maximumMetadataBytes = 16 * 1024
  /// Bytes a server may send on one call beyond what was read.
  public var streamWindow = 256 * 1024
  /// Bytes that may be on their way on one connection.
  public var connectionWindow = 1024 * 1024
  /// While calls are open and nothing comes, a PING is sent after this long; nil for never.
  public var keepaliveInterval: Duration?
  /// A PING that is not answered for this long ends the connection.
  public var keepaliveTimeout: Duration = .seconds(20)
  /// What the client calls itself; gRPC asks for `name/version`.
  public var userAgent = "buddy-rpc/1.0"

  /// What is done with calls of certain methods: timeouts, limits, retries, hedging.
  public var methods: [MethodConfiguration] = []
  /// Stops retries and hedging while the server fails too often; nil: they are not stopped.
  public var retryThrottling: RetryThrottling?
  /// Bytes of a call's request that are kept to send it again; a request that is longer is no longer retried. Zero: only
  /// requests of one message are ever sent again, and only those that the server did not look at.
  public var replayBytes = 256 * 1024
  /// Bytes of all calls' requests together that are kept so.
  public var replayBytesOfAllCalls = 16 * 1024 * 1024

  public init() {}

  var session: Session.Configuration {
    var result = Session.Configuration()
    result.maximumHeaderBytes = maximumMetadataBytes
    result.streamWindow = streamWindow
    result.connectionWindow = connectionWindow
    // A server may reset every stream it was sent.
    result.resetBurst = 1_000_000
    result.resetsPerSecond = 100_000
    return result
  }
}

/// What one call asks for.
public struct CallOptions: Sendable {
  /// When to give up; the earlier of this and `Deadline.current`. Nil: only the latter, if there is one.
  public var deadline: Deadline?
  /// Sent with the request.
  public var metadata: Metadata
  /// Wait for a server that cannot be reached, until the deadline, instead of failing at once.
  public var waitForReady = false

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

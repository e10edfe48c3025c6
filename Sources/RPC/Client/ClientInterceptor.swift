/// A call that a client is about to make, as its interceptors see it and may change it.
public struct OutgoingCall: Sendable {
  /// `/package.Service/Name`.
  public let path: String
  /// The server's address: `127.0.0.1:8421`.
  public let peer: String
  public var options: CallOptions
  /// What it has to be let through before it is sent, in this order.
  var limits: [ConcurrencyLimit] = []
}

/// Stands around every call of a client, of every kind: for traces, metrics, credentials.
///
/// A call of a stream outlasts the function that made it. So an interceptor is not wrapped around a function, as at the
/// server, but told of both ends: `begin` before the call is sent, and what `begin` returned when the call is over.
public protocol ClientInterceptor: Sendable {
  /// A call is about to be sent. Runs in the task that makes the call, whose task-local values it sees.
  ///
  /// - Parameter call: Metadata that is added here is sent.
  /// - Returns: Gets the status: the server's, or UNAVAILABLE, DEADLINE_EXCEEDED, CANCELLED where it gave none, also
  ///   when a response stream was dropped before its end. Nil where it does not matter.
  func begin(_ call: inout OutgoingCall) -> CallEnd?
}

/// Told how a call ended, exactly once, just before the caller learns it. On the client's event loop: it must not
/// block.
public typealias CallEnd = @Sendable (Status) -> Void

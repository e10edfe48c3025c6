import HTTP2

/// What a handler can know about its call, and say beside its messages.
public struct ServerContext: Sendable {
  private let call: ServerCall

  init(_ call: ServerCall) { self.call = call }

  /// `/package.Service/Name`.
  public var path: String { call.route.path }

  /// The metadata that came with the request. Made from the wire each time: keep it if it is used often.
  public var metadata: Metadata { Metadata(call.headers) }

  /// When the caller stops waiting; nil if it never does. Also bound as `Deadline.current`, which an interceptor may
  /// have made earlier.
  public var deadline: Deadline? { call.deadline }

  /// Ends the call at this moment, unless it has to end earlier.
  func shorten(to deadline: Deadline) {
    let call = call
    call.loop.perform { call.shorten(to: deadline) }
  }

  /// The peer's address: `127.0.0.1:50123`, or `unix`.
  public var peer: String { call.connection.peer }

  /// What the caller thinks it calls (`:authority`): `example.org:8421`. Whatever it likes to say.
  public var authority: String { call.headers[":authority"] ?? "" }

  /// Who the caller is, by a certificate that was verified (`ServerTLS.clientCertificates`); nil where it showed none.
  public var peerIdentity: PeerIdentity? { call.connection.peerIdentity }

  /// What the caller calls itself: `grpc-python/1.60 grpc-c/37.0 (linux; chttp2)`; nil if it does not say.
  public var userAgent: String? { call.headers["user-agent"] }

  /// The service's full name: `package.Service`.
  public var service: Substring { call.route.path.dropFirst().prefix { $0 != "/" } }

  /// The method's name: `Name`.
  public var method: Substring { call.route.path.split(separator: "/").last ?? "" }

  /// Whether the one request came compressed. A stream's messages each say it: `RequestStream.Iterator.isCompressed`.
  public var requestWasCompressed: Bool { call.requestWasCompressed }

  /// Compresses this call's responses, or does not, whatever `ServerOptions.compression` says. Only where the caller
  /// takes gzip, and before anything of the response has been sent; otherwise nothing changes.
  public func compressResponses(_ wanted: Bool) {
    let call = call
    call.loop.perform { call.compressResponses(wanted) }
  }

  /// Sends the response's headers now, with this metadata, instead of with the first message.
  /// Later calls, and calls after the first message, do nothing.
  public func sendInitialMetadata(_ metadata: Metadata) {
    let call = call
    call.loop.perform { call.sendInitialMetadata(metadata) }
  }

  /// Replaces the metadata that goes out with the status at the end, whether the call succeeds or fails.
  public func setTrailingMetadata(_ metadata: Metadata) {
    let call = call
    call.loop.perform { call.trailingMetadata = metadata }
  }
}

/// Writes a call's responses.
public struct ResponseWriter<Message: Sendable>: Sendable {
  let call: ServerCall
  let codec: Codec<Message>

  /// Sends one message. Suspends while the peer reads more slowly than this writes.
  /// - Throws: `CancellationError` when the call was cancelled or its connection went away, a `Status` when its
  ///   deadline passed or when the message cannot be encoded or is over the server's limit.
  public func write(_ message: Message) async throws {
    try await call.send(Framing.encode(message, codec, limit: call.responseLimit))
  }

  /// As `write(_:)`, and says whether this message is compressed, whatever its length, where the call's responses are
  /// (`ServerContext.compressResponses`). Where they are not, it never is.
  public func write(_ message: Message, isCompressed: Bool) async throws {
    try await call.send(Framing.encode(message, codec, limit: call.responseLimit), isCompressed)
  }
}

/// The messages that a caller sends, in order. Iterate it once, in one task.
public struct RequestStream<Message: Sendable>: AsyncSequence, Sendable {
  let call: ServerCall
  let codec: Codec<Message>

  public struct Iterator: AsyncIteratorProtocol {
    let call: ServerCall
    let codec: Codec<Message>
    /// Whether the last message came compressed.
    public private(set) var isCompressed = false

    /// The next message; nil when the caller has sent its last.
    /// - Throws: As `ResponseWriter.write` does; INVALID_ARGUMENT when a message cannot be decoded.
    public mutating func next() async throws -> Message? {
      guard let frame = try await call.nextMessage() else { return nil }
      return try ServerCall.decode(call.unpackOrFail(frame, &isCompressed), codec)
    }
  }

  public func makeAsyncIterator() -> Iterator { Iterator(call: call, codec: codec) }
}

/// Stands around every handler: for logs, metrics, authentication, limits.
public protocol ServerInterceptor: Sendable {
  /// Calls `next` to go on, once; throws to end the call instead.
  ///
  /// What `next` throws says how the call ended (`Status(reporting:)`): the handler's error, or, where the call was
  /// over before its handler was, DEADLINE_EXCEEDED, CANCELLED when the caller gave up or went away, or what was wrong
  /// with the rest of the request. It returns when the handler did and its status is OK.
  func intercept(_ context: ServerContext, _ next: @Sendable () async throws -> Void) async throws

  /// A call was answered with this status without a handler: nobody serves its method, its headers are malformed, its
  /// deadline has passed, or too many handlers run already. On the connection's event loop: it must not block. Unless
  /// implemented, does nothing.
  func refused(_ status: Status)
}

extension ServerInterceptor {
  public func refused(_ status: Status) {}
}

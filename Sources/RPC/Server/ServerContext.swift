import HTTP2

/// What a handler can know about its call, and say beside its messages.
public struct ServerContext: Sendable {
  private let call: ServerCall

  init(_ call: ServerCall) { self.call = call }

  /// `/package.Service/Name`.
  public var path: String { call.route.path }

  /// The metadata that came with the request. Made from the wire each time: keep it if it is used often.
  public var metadata: Metadata { Metadata(call.headers) }

  /// When the caller stops waiting; nil if it never does. Also bound as `Deadline.current`.
  public var deadline: Deadline? { call.deadline }

  /// The peer's address: `127.0.0.1:50123`, or `unix`.
  public var peer: String { call.connection.peer }

  /// What the caller thinks it calls (`:authority`): `example.org:8421`. Whatever it likes to say.
  public var authority: String { call.headers[":authority"] ?? "" }

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
}

/// The messages that a caller sends, in order. Iterate it once, in one task.
public struct RequestStream<Message: Sendable>: AsyncSequence, Sendable {
  let call: ServerCall
  let codec: Codec<Message>

  public struct Iterator: AsyncIteratorProtocol {
    let call: ServerCall
    let codec: Codec<Message>

    /// The next message; nil when the caller has sent its last.
    /// - Throws: As `ResponseWriter.write` does; INVALID_ARGUMENT when a message cannot be decoded.
    public mutating func next() async throws -> Message? {
      try await call.nextMessage().map { try ServerCall.decode($0, codec) }
    }
  }

  public func makeAsyncIterator() -> Iterator { Iterator(call: call, codec: codec) }
}

/// Stands around every handler: for logs, metrics, authentication, limits.
public protocol ServerInterceptor: Sendable {
  /// Calls `next` to go on, once; throws to end the call instead.
  ///
  /// What `next` throws says how the call ended (`Status(reporting:)`): the handler's error, or, where the call was over
  /// before its handler was, DEADLINE_EXCEEDED, CANCELLED when the caller gave up or went away, or what was wrong with
  /// the rest of the request. It returns when the handler did and its status is OK.
  func intercept(_ context: ServerContext, _ next: @Sendable () async throws -> Void) async throws

  /// A call was answered with this status without a handler: nobody serves its method, its headers are malformed, or
  /// too many handlers run already. On the connection's event loop: it must not block. Unless implemented, does nothing.
  func refused(_ status: Status)
}

extension ServerInterceptor {
  public func refused(_ status: Status) {}
}

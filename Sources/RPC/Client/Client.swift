public import NIOCore
import NIOPosix

/// A gRPC client for one target, which may be several servers: connects when it is first needed, reconnects by itself,
/// and spreads its calls as `ClientOptions` say, by default over one connection. Share one client a target.
///
/// Every method throws `Status`; one that runs a closure before it returns also throws what the closure threw.
/// Cancelling the task that waits for a call cancels the call, at the server too.
public final class Client: Sendable {
  let channel: ClientChannel
  private let retries: RetryState
  /// Nil where no method is configured.
  private let methods: MethodTable?
  private let interceptors: [any ClientInterceptor]

  /// - Parameters:
  ///   - interceptors: Around every call, the first outermost.
  ///   - group: The threads to run on, of which the client takes one; the process-wide group unless given.
  public init(
    _ target: Target, options: ClientOptions = .init(), interceptors: [any ClientInterceptor] = [],
    group: (any EventLoopGroup)? = nil
  ) {
    self.interceptors = interceptors
    let group = group ?? MultiThreadedEventLoopGroup.singleton
    channel = ClientChannel(target: target, options: options, loop: group.next())
    retries = RetryState(channel: channel)
    methods = MethodTable(options.methods)
  }

  /// The same as `init(.host(host, port: port))`.
  public convenience init(
    host: String, port: Int, options: ClientOptions = .init(), interceptors: [any ClientInterceptor] = [],
    group: (any EventLoopGroup)? = nil
  ) {
    self.init(.host(host, port: port), options: options, interceptors: interceptors, group: group)
  }

  deinit {
    let channel = channel
    channel.loop.execute { channel.close(aborting: false) }
  }

  /// Ends the calls under way with UNAVAILABLE and closes the connection. Later calls fail.
  public func close() async {
    await channel.closeAndWait()
  }

  /// One request, one response.
  public func unary<Q, R>(
    _ method: Method<Q, R>, _ request: Q, _ options: CallOptions = .init()
  ) async throws -> R {
    let call = try oneRequest(method, request, options, hasOneResponse: true)
    return try await decode(response(to: call, isSubmitted: false), method.response)
  }

  /// One request, one response, and the metadata around it.
  public func unaryResponse<Q, R>(
    _ method: Method<Q, R>, _ request: Q, _ options: CallOptions = .init()
  ) async throws -> UnaryResponse<R> {
    let call = try oneRequest(method, request, options, hasOneResponse: true)
    let message = try await decode(response(to: call, isSubmitted: false), method.response)
    return UnaryResponse(
      message: message, initialMetadata: try await call.initialMetadata(),
      trailingMetadata: await call.trailingMetadata(), wasCompressed: call.responseWasCompressed)
  }

  /// One request, any number of responses. Returns at once; a failure shows when the responses are read. Dropping the
  /// stream, or leaving its loop early and dropping it, cancels the call.
  public func serverStreaming<Q, R>(
    _ method: Method<Q, R>, _ request: Q, _ options: CallOptions = .init()
  ) async throws -> ResponseStream<R> {
    let call = try oneRequest(method, request, options, hasOneResponse: false)
    submit(call)
    return ResponseStream(call: call, codec: method.response)
  }

  /// Any number of requests, one response. The request ends when `produce` returns. If `produce` throws, the call is
  /// cancelled and the error passed on, unless the server had already ended the call: then its answer counts.
  public func clientStreaming<Q, R>(
    _ method: Method<Q, R>, _ options: CallOptions = .init(),
    _ produce: @Sendable (RequestWriter<Q>) async throws -> Void
  ) async throws -> R {
    let call = call(method.path, options, request: nil, hasOneResponse: true)
    submit(call)
    let frame = try await withTaskCancellationHandler {
      do {
        let writer = RequestWriter(call: call, codec: method.request, limit: requestLimit(method.path))
        try await produce(writer)
        call.loop.perform { call.halfClose() }
      } catch {
        guard await call.hasEnded() else {
          call.cancel()
          throw error
        }
      }
      return try await response(to: call, isSubmitted: true)
    } onCancel: {
      call.cancel()
    }
    return try decode(frame, method.response)
  }

  /// Any number of both. Returns at once; `produce` runs in a task of its own, which is cancelled when the call ends.
  /// The requests end when `produce` returns; if it throws, the call is cancelled with what it threw as status.
  public func bidirectional<Q, R>(
    _ method: Method<Q, R>, _ options: CallOptions = .init(),
    _ produce: @escaping @Sendable (RequestWriter<Q>) async throws -> Void
  ) async throws -> ResponseStream<R> {
    let call = call(method.path, options, request: nil, hasOneResponse: false)
    submit(call)
    let writer = RequestWriter(call: call, codec: method.request, limit: requestLimit(method.path))
    let producer = Task {
      do {
        try await produce(writer)
        writer.finish()
      } catch {
        call.loop.perform { call.finish(Status(reporting: error), reset: true) }
      }
    }
    call.loop.perform { call.producing(in: producer) }
    return ResponseStream(call: call, codec: method.response)
  }

  /// Any number of both, as a conversation: `body` reads and writes as it likes, `finish` on the writer ends the
  /// requests. When `body` returns or throws, what is left of the call is cancelled.
  public func bidirectional<Q, R, Result: Sendable>(
    _ method: Method<Q, R>, _ options: CallOptions = .init(),
    _ body: @Sendable (RequestWriter<Q>, ResponseStream<R>) async throws -> Result
  ) async throws -> Result {
    let call = call(method.path, options, request: nil, hasOneResponse: false)
    submit(call)
    defer { call.cancel() }
    let writer = RequestWriter(call: call, codec: method.request, limit: requestLimit(method.path))
    return try await withTaskCancellationHandler {
      try await body(writer, ResponseStream(call: call, codec: method.response))
    } onCancel: {
      call.cancel()
    }
  }

  // MARK: - Parts

  private func oneRequest<Q, R>(
    _ method: Method<Q, R>, _ request: Q, _ options: CallOptions, hasOneResponse: Bool
  ) throws -> ClientCall {
    let frame = try Framing.encode(request, method.request, limit: requestLimit(method.path))
    return call(method.path, options, request: frame, hasOneResponse: hasOneResponse)
  }

  private func requestLimit(_ path: String) -> Int {
    guard let methods, let limit = methods[path: path]?.maximumRequestBytes else {
      return channel.options.maximumRequestBytes
    }
    return min(limit, channel.options.maximumRequestBytes)
  }

  private func call(
    _ path: String, _ options: CallOptions, request: ByteBuffer?, hasOneResponse: Bool
  ) -> ClientCall {
    guard !interceptors.isEmpty || methods != nil || channel.options.retryThrottling != nil else {
      return ClientCall(
        channel: channel, path: path, options: options, request: request, hasOneResponse: hasOneResponse,
        replay: request == nil ? retries.replayBuffer() : nil)
    }
    var outgoing = OutgoingCall(path: path, peer: channel.authority, options: options)
    var ends = interceptors.compactMap { $0.begin(&outgoing) }
    if let counts = retries.countsSuccesses { ends.insert(counts, at: 0) }
    let admission = outgoing.limits.isEmpty ? nil : CallAdmission(outgoing.limits, channel)
    if let admission { ends.insert({ _ in admission.end() }, at: 0) }
    let configuration = methods?[path: path] ?? MethodConfiguration()
    configuration.apply(to: &outgoing.options)
    let policy = retries.policy(configuration.attempts, request: request)
    let call = ClientCall(
      channel: channel, path: path, options: outgoing.options, request: policy == nil ? request : nil,
      hasOneResponse: hasOneResponse, ends: ends,
      replay: policy == nil && request == nil ? retries.replayBuffer() : nil,
      responseLimit: configuration.maximumResponseBytes.map { min($0, channel.options.maximumResponseBytes) })
    call.admission = admission
    if let policy {
      call.attempts = AttemptRunner(policy, of: call, options: outgoing.options, request: request, state: retries)
    }
    return call
  }

  /// From any thread.
  private func submit(_ call: ClientCall, _ continuation: UnsafeContinuation<ByteBuffer, any Error>? = nil) {
    guard call.attempts != nil || call.admission != nil else { return channel.submit(call, continuation) }
    call.loop.perform {
      call.arrived(continuation)
      if let admission = call.admission { admission.begin(call) } else { call.attempts?.begin() }
    }
  }

  private func response(to call: ClientCall, isSubmitted: Bool) async throws -> ByteBuffer {
    try await withTaskCancellationHandler {
      try await withUnsafeThrowingContinuation { continuation in
        if isSubmitted {
          call.loop.perform { call.expectResponse(continuation) }
        } else {
          submit(call, continuation)
        }
      }
    } onCancel: {
      call.cancel()
    }
  }

  private func decode<R>(_ message: ByteBuffer, _ codec: Codec<R>) throws -> R {
    do {
      return try codec.decode(message)
    } catch {
      throw Status(.internalError, "the response cannot be decoded: \(error)")
    }
  }
}

/// A response with what came around it.
public struct UnaryResponse<Message: Sendable>: Sendable {
  public let message: Message
  public let initialMetadata: Metadata
  public let trailingMetadata: Metadata
  /// Whether the message came compressed.
  public let wasCompressed: Bool
}

import Hummingbird
import HummingbirdCore
import Logging
import NIOCore

/// A connection of the gateway: a WebSocket if its first request is for `/ws`, otherwise Hummingbird's HTTP/1.1.
///
/// Hummingbird sets its handlers up when a connection is accepted, and nothing can take them out again. So what comes
/// first is looked at before either is there.
struct GatewayChannel: ServerChildChannel {
  /// An accepted connection, and what it turns out to be.
  struct Value: ServerChildChannelValue {
    let channel: any Channel
    /// Fails if the connection ends before its first request came.
    let kind: EventLoopFuture<Kind>
  }

  enum Kind: Sendable {
    case http(HTTP1Channel.Value)
    case webSocket
  }

  let http: HTTP1Channel
  let sockets: WebSockets

  func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Value> {
    channel.eventLoop.makeCompletedFuture {
      let kind = channel.eventLoop.makePromise(of: Kind.self)
      try channel.pipeline.syncOperations.addHandler(
        FirstRequest(http: http, sockets: sockets, logger: logger, kind: kind))
      return Value(channel: channel, kind: kind.futureResult)
    }
  }

  func handle(value: Value, logger: Logger) async {
    let kind = await Self.closing(value.channel) { try? await value.kind.get() }
    switch kind {
    case .http(let channel): await http.handle(value: channel, logger: logger)
    case .webSocket: await Self.closing(value.channel) { try? await value.channel.closeFuture.get() }
    case nil: break
    }
  }

  /// Closes `channel` if the task is cancelled while `body` waits for it.
  private static func closing<Result: Sendable>(
    _ channel: any Channel, _ body: @Sendable () async -> Result
  ) async -> Result {
    await withTaskCancellationHandler(operation: body) { channel.close(promise: nil) }
  }
}

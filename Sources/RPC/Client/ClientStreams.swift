import NIOCore

/// Writes a call's requests.
public struct RequestWriter<Message: Sendable>: Sendable {
  let call: ClientCall
  let codec: Codec<Message>
  let limit: Int

  /// Sends one message. Suspends while the server reads more slowly than this writes.
  /// - Throws: The call's `Status` if it has failed; `CancellationError` if it is over or this task was cancelled.
  public func write(_ message: Message) async throws {
    try await write(message, nil)
  }

  /// As `write(_:)`, and says whether this message is compressed, whatever its length, where the call's requests are
  /// (`CallOptions.compression`). Where they are not, it never is.
  public func write(_ message: Message, isCompressed: Bool) async throws { try await write(message, isCompressed) }

  private func write(_ message: Message, _ choice: Bool?) async throws {
    try await call.send(call.compression.apply(to: Framing.encode(message, codec, limit: limit), choice))
  }

  /// Sends no more: the server sees the end of its requests.
  public func finish() {
    let call = call
    call.loop.perform { call.halfClose() }
  }
}

/// The responses to a call, in order. Iterate it once, in one task.
///
/// Iteration ends when the server ended the call with OK, and throws its `Status` otherwise. When the stream and its
/// iterator are dropped, or the task that reads is cancelled, the call is cancelled.
public struct ResponseStream<Message: Sendable>: AsyncSequence, Sendable {
  /// Cancels the call when nobody is left to read it.
  final class Handle: Sendable {
    let call: ClientCall
    init(_ call: ClientCall) { self.call = call }
    deinit { call.cancel() }
  }

  private let handle: Handle
  private let codec: Codec<Message>

  init(call: ClientCall, codec: Codec<Message>) {
    handle = Handle(call)
    self.codec = codec
  }

  /// Waits for the metadata in front of the first message.
  public var initialMetadata: Metadata { get async throws { try await handle.call.initialMetadata() } }

  /// The metadata behind the last message; empty until the stream has ended.
  public var trailingMetadata: Metadata { get async { await handle.call.trailingMetadata() } }

  /// Gives the call up.
  public func cancel() { handle.call.cancel() }

  public struct Iterator: AsyncIteratorProtocol {
    let handle: Handle
    let codec: Codec<Message>
    /// Whether the last message came compressed.
    public private(set) var isCompressed = false

    /// The next message; nil when the server ended the call with OK.
    /// - Throws: The call's `Status`.
    public mutating func next() async throws -> Message? {
      let call = handle.call
      let message: Message?
      do {
        guard let frame = try await call.nextMessage() else { return nil }
        message = try codec.decode(call.unpackOrFail(frame, &isCompressed))
      } catch let status as Status {
        throw status
      } catch is CancellationError {
        call.cancel()
        throw Status(.cancelled, "the call was cancelled")
      } catch {
        call.cancel()
        throw Status(.internalError, "a response cannot be decoded: \(error)")
      }
      return message
    }
  }

  public func makeAsyncIterator() -> Iterator { Iterator(handle: handle, codec: codec) }
}

extension ClientCall {
  /// Whether the call is over, with whatever status.
  func hasEnded() async -> Bool {
    if loop.inEventLoop { return isOver }
    return await withUnsafeContinuation { continuation in
      loop.execute { continuation.resume(returning: self.isOver) }
    }
  }
}

import NIOCore

/// The metadata of a call's response, for whoever waits for it.
extension ClientCall {
  /// Waits for the response's headers. Empty when there were none but the status.
  func initialMetadata() async throws -> Metadata {
    do {
      return try await loop.wait { waiter in
        if self.initial != nil || self.isOver {
          waiter.resume(self.initialResult)
        } else {
          self.awaitingInitial.append(waiter)
        }
      }
    } catch is CancellationError {
      throw Status.cancelled
    }
  }

  var initialResult: Result<Metadata, any Error> {
    if let initial { return .success(Metadata(initial)) }
    guard let status, status.code != .ok else { return .success([:]) }
    return .failure(status)
  }

  /// The metadata behind the last message; empty before that.
  func trailingMetadata() async -> Metadata {
    if loop.inEventLoop { return status?.metadata ?? [:] }
    return await withUnsafeContinuation { continuation in
      loop.execute { continuation.resume(returning: self.status?.metadata ?? [:]) }
    }
  }
}

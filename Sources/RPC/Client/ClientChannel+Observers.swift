import NIOCore

extension ClientChannel {
  /// Who wants to know how it stands.
  struct Observers {
    var streams: [Int: AsyncStream<Connectivity>.Continuation] = [:]
    var nextStream = 0
    var connecting: [Waiter<Void>] = []

    /// Somebody waits for a connection without a call.
    var wantConnection: Bool { connecting.contains { !$0.isDone } }
  }

  /// Tells observers, where it has changed, and those that wait for a connection.
  func tell(_ state: Connectivity) {
    if state != told {
      told = state
      for stream in observers.streams.values {
        stream.yield(state)
        if state == .shutdown { stream.finish() }
      }
    }
    guard !observers.connecting.isEmpty else { return }
    switch state {
    case .idle, .connecting: break
    case .ready: endConnecting(.success(()))
    case .transientFailure: endConnecting(.failure(unreachable))
    case .shutdown: endConnecting(.failure(Self.closedStatus))
    }
  }

  private func endConnecting(_ result: Result<Void, any Error>) {
    let waiting = observers.connecting
    observers.connecting = []
    for waiter in waiting { waiter.resume(result) }
  }

  func connect() async throws {
    try await loop.wait { waiter in
      self.observers.connecting.append(waiter)
      self.settle()
    }
  }

  func observe() -> AsyncStream<Connectivity> {
    AsyncStream(bufferingPolicy: .bufferingNewest(64)) { continuation in
      loop.perform {
        continuation.yield(self.told)
        guard !self.isClosed else { return continuation.finish() }
        let number = self.observers.nextStream
        self.observers.nextStream += 1
        self.observers.streams[number] = continuation
        continuation.onTermination = { [weak self, loop = self.loop] _ in
          loop.execute { [weak self] in self?.observers.streams[number] = nil }
        }
      }
    }
  }
}

extension Client {
  /// How it stands, from now on: first the present state, then each change. Ends with `shutdown`. Whoever falls behind
  /// by more than 64 changes misses the oldest.
  public var connectivity: AsyncStream<Connectivity> { channel.observe() }

  /// Connects without a call, and returns once calls would find a connection.
  /// - Throws: `Status` UNAVAILABLE when every address failed, or the client was closed; CANCELLED when this task was.
  public func connect() async throws {
    do {
      try await channel.connect()
    } catch is CancellationError {
      throw Status(.cancelled, "the task was cancelled")
    }
  }
}

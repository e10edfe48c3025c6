import NIOConcurrencyHelpers

/// Adds `authorization: Bearer TOKEN` to every call of a client (RFC 6750 §2.1).
///
/// A token that ends is renewed in the background before it does, so no call waits for it; if that fails it is tried
/// again, and meanwhile the old one is sent. Whoever reads the connection reads the token: use TLS beyond this machine.
public final class Credentials: ClientInterceptor {
  public struct Token: Sendable, Hashable {
    let value: String
    let lifetime: Duration?

    /// - Parameter lifetime: How long it is good for, from now; nil for ever.
    public init(_ value: String, lifetime: Duration? = nil) {
      self.value = value
      self.lifetime = lifetime
    }
  }

  /// Where tokens come from: a file, an identity provider.
  public typealias Source = @Sendable () async throws -> Token

  private struct State {
    var header: String
    var renewal: Task<Void, Never>?
  }

  private let state: NIOLockedValueBox<State>

  /// One token for ever.
  public init(bearer token: String) { state = NIOLockedValueBox(State(header: "Bearer \(token)")) }

  /// Waits for the first token; renews it when four fifths of its lifetime are over.
  /// - Parameters:
  ///   - minimumRetry: A renewal that fails is tried again after this, doubled each time …
  ///   - maximumRetry: … up to this.
  /// - Throws: What the source throws the first time.
  public init(
    minimumRetry: Duration = .seconds(1), maximumRetry: Duration = .seconds(60), from source: @escaping Source
  ) async throws {
    let first = try await source()
    state = NIOLockedValueBox(State(header: "Bearer \(first.value)"))
    guard let lifetime = first.lifetime else { return }
    let task = Task { [weak self] in
      var pause = lifetime * 0.8
      var retry = minimumRetry
      while (try? await Task.sleep(for: max(pause, .milliseconds(1)))) != nil {
        do {
          let token = try await source()
          guard let self else { return }
          self.state.withLockedValue { $0.header = "Bearer \(token.value)" }
          guard let lifetime = token.lifetime else { return }
          (pause, retry) = (lifetime * 0.8, minimumRetry)
        } catch {
          (pause, retry) = (retry, min(retry * 2, maximumRetry))
        }
      }
    }
    state.withLockedValue { $0.renewal = task }
  }

  deinit { state.withLockedValue { $0.renewal?.cancel() } }

  public func begin(_ call: inout OutgoingCall) -> CallEnd? {
    // What the caller gave for this one call counts.
    if call.options.metadata.all("authorization").isEmpty {
      call.options.metadata.add(state.withLockedValue { $0.header }, for: "authorization")
    }
    return nil
  }
}

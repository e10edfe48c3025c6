/// Whether a client can reach its target, over all its addresses (gRPC `doc/connectivity-semantics-and-api.md`).
public enum Connectivity: Sendable, Hashable {
  /// No connection, and none is made until a call needs one, or `Client.connect`.
  case idle
  /// A name is being resolved, or an address tried: calls wait.
  case connecting
  /// At least one connection takes calls.
  case ready
  /// All addresses failed. Until the next attempt calls fail at once, save those that wait for readiness.
  case transientFailure
  /// The client was closed.
  case shutdown
}

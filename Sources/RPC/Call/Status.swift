/// How a call ended: one of gRPC's seventeen codes, a message for people, and metadata that travels with it.
///
/// Throw one from a handler to end the call with it; every client call that fails throws one.
public struct Status: Error, Sendable, Hashable, CustomStringConvertible {
  /// The codes of gRPC's `doc/statuscodes.md`, by number.
  public enum Code: Int, Sendable, CaseIterable {
    case ok = 0
    case cancelled, unknown, invalidArgument, deadlineExceeded, notFound, alreadyExists, permissionDenied
    case resourceExhausted, failedPrecondition, aborted, outOfRange, unimplemented, internalError, unavailable
    case dataLoss, unauthenticated

    /// The name as gRPC writes it: `NOT_FOUND`.
    public var name: String { Self.names[rawValue] }

    /// The code of this name, if it is one.
    public init?(name: String) {
      guard let index = Self.names.firstIndex(of: name) else { return nil }
      self.init(rawValue: index)
    }

    private static let names = [
      "OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS",
      "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED",
      "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED",
    ]
  }

  public var code: Code
  public var message: String
  /// Trailing metadata.
  public var metadata: Metadata

  public init(_ code: Code, _ message: String = "", metadata: Metadata = [:]) {
    self.code = code
    self.message = message
    self.metadata = metadata
  }

  static let ok = Status(.ok)
  static let endedInsideMessage = Status(.internalError, "the stream ended inside a message")

  public var description: String { message.isEmpty ? code.name : "\(code.name): \(message)" }
}

/// An error that knows which status it is on the wire.
public protocol StatusConvertible: Error {
  var status: Status { get }
}

extension Status {
  /// What a handler's error becomes. An error that does not say what it is becomes UNKNOWN with a general text: its own
  /// text may hold what no caller should see.
  public init(reporting error: any Error) {
    switch error {
    case let status as Status: self = status
    case let convertible as any StatusConvertible: self = convertible.status
    case is CancellationError: self.init(.cancelled, "the call was cancelled")
    default: self.init(.unknown, "the handler failed")
    }
  }
}

// MARK: - Codes of other protocols

extension Status.Code {
  /// For an answer without `grpc-status` (gRPC `doc/http-grpc-status-mapping.md`).
  init(httpStatus: Int) {
    switch httpStatus {
    case 400: self = .internalError
    case 401: self = .unauthenticated
    case 403: self = .permissionDenied
    case 404: self = .unimplemented
    case 429, 502, 503, 504: self = .unavailable
    default: self = .unknown
    }
  }

  /// For a stream that was reset (gRPC `doc/PROTOCOL-HTTP2.md`, "HTTP2 Transport Mapping").
  init(resetCode: UInt32) {
    switch resetCode {
    case 7: self = .unavailable  // REFUSED_STREAM: not processed
    case 8: self = .cancelled  // CANCEL
    case 11: self = .resourceExhausted  // ENHANCE_YOUR_CALM
    case 12: self = .permissionDenied  // INADEQUATE_SECURITY
    default: self = .internalError
    }
  }
}

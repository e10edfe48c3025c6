import Hummingbird
import RPC
import ServiceKit

/// A refusal on its way to the client: an HTTP status, a stable code in capitals, and one sentence.
struct GatewayError: Error, Sendable {
  var status: HTTPResponse.Status
  /// The gRPC code's name where a service answered, otherwise a name of HTTP's own such as "METHOD_NOT_ALLOWED".
  var code: String
  var message: String
  /// The service that failed, if one did.
  var service: ServiceName?
  var headers: HTTPFields = [:]
  /// With OUT_OF_RANGE: the sequence after which a watcher can go on.
  var resumeAfter: UInt64?

  static func badRequest(_ message: String) -> GatewayError {
    GatewayError(status: .badRequest, code: Status.Code.invalidArgument.name, message: message)
  }

  static func notFound(_ message: String) -> GatewayError {
    GatewayError(status: .notFound, code: Status.Code.notFound.name, message: message)
  }

  /// - Parameter limit: in bytes.
  static func tooLarge(limit: Int) -> GatewayError {
    GatewayError(
      status: .contentTooLarge, code: "CONTENT_TOO_LARGE", message: "The body may have at most \(limit) bytes.")
  }

  /// The rest of the body is not waited for, so nothing else can be asked on the connection.
  static let bodyTimeout = GatewayError(
    status: .requestTimeout, code: "REQUEST_TIMEOUT", message: "The body took too long to arrive.",
    headers: [.connection: "close"])

  /// What a failed call of `service` means to the client.
  init(_ status: Status, from service: ServiceName) {
    self.init(
      status: status.code.httpStatus, code: status.code.name, message: Self.sentence(status, service), service: service)
    // A service that restarts is back within a second or two.
    if status.code == .unavailable { headers[.retryAfter] = "1" }
  }

  init(
    status: HTTPResponse.Status, code: String, message: String, service: ServiceName? = nil, headers: HTTPFields = [:]
  ) {
    self.status = status
    self.code = code
    self.message = message
    self.service = service
    self.headers = headers
  }

  private static func sentence(_ status: Status, _ service: ServiceName) -> String {
    let detail = status.message.isEmpty ? "" : ": \(status.message)"
    return switch status.code {
    // It may be that nobody listens there, or that it answered so: the detail tells.
    case .unavailable: "The \(service.rawValue) service is unavailable\(detail)"
    case .deadlineExceeded: "The \(service.rawValue) service did not answer in time\(detail)"
    default: status.message.isEmpty ? "The \(service.rawValue) service answered \(status.code.name)." : status.message
    }
  }

  /// The answer: always JSON.
  var response: Response {
    .json(json, status: status, headers: headers)
  }

  var json: String {
    var error = "\"code\":\(jsonQuoted(code)),\"message\":\(jsonQuoted(message))"
    if let service { error += ",\"service\":\(jsonQuoted(service.rawValue))" }
    if let resumeAfter { error += ",\"resumeAfter\":\"\(resumeAfter)\"" }
    return "{\"error\":{\(error)}}"
  }
}

/// A call of a service failed. Kept as it is until the edge, because some routes act on the code.
struct UpstreamFailure: Error, Sendable {
  let service: ServiceName
  let status: Status
}

extension Status.Code {
  /// The one table from gRPC codes to HTTP (google/rpc/code.proto; 499 is nginx's "client closed request").
  var httpStatus: HTTPResponse.Status {
    switch self {
    case .ok: .ok
    case .invalidArgument, .failedPrecondition, .outOfRange: .badRequest
    case .unauthenticated: .unauthorized
    case .permissionDenied: .forbidden
    case .notFound: .notFound
    case .alreadyExists, .aborted: .conflict
    case .resourceExhausted: .tooManyRequests
    case .cancelled: HTTPResponse.Status(code: 499, reasonPhrase: "Client Closed Request")
    case .unimplemented: .notImplemented
    case .unavailable: .serviceUnavailable
    case .deadlineExceeded: .gatewayTimeout
    case .unknown, .internalError, .dataLoss: .internalServerError
    }
  }
}

import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix

/// Turns what goes wrong between here and the gateway into one clear line.
enum GatewayFailure {
  private struct Body: Decodable {
    struct Content: Decodable {
      let code: String
      let message: String
    }

    let error: Content
  }

  /// The error an answer with an error status carries. An answer without one is not from a Buddy gateway.
  static func error(status: HTTPResponseStatus, body: [UInt8], address: GatewayAddress) -> CommandError {
    if let error = told(body) { return error }
    return .unexpected("HTTP \(status.code) from \(address) without an error in JSON; is that a Buddy gateway?")
  }

  /// The error that these bytes of JSON tell of; nil if they are something else.
  static func told(_ json: [UInt8]) -> CommandError? {
    guard let parsed = try? JSONDecoder().decode(Body.self, from: Data(json)) else { return nil }
    return CommandError(code: parsed.error.code, message: parsed.error.message)
  }

  /// An error of the transport. What the gateway has done by then is unknown.
  static func translate(_ error: any Error, address: GatewayAddress) -> CommandError {
    switch error {
    case let error as NIOConnectionError:
      return .unreachable(address.description, reason(error))
    case let error as IOError:
      return .unreachable(address.description, describe(errno: error.errnoCode))
    case is NIOTooManyBytesError:
      return .unexpected("the answer from \(address) is larger than this command takes")
    case let error as HTTPClientError:
      return translate(error, address: address)
    case HTTPParserError.invalidEOFState:
      return .unreachable(address.description, "the connection was closed")
    case is HTTPParserError:
      // A gateway that is killed in the middle of a chunk looks the same as a server of something else: only trying
      // again can tell.
      return .unreachable(address.description, "what it answers is torn, or no HTTP")
    default:
      return .unreachable(address.description, "\(error)")
    }
  }

  private static func translate(_ error: HTTPClientError, address: GatewayAddress) -> CommandError {
    switch error {
    case .connectTimeout: return .unreachable(address.description, "connecting took too long")
    case .remoteConnectionClosed, .requestStreamCancelled, .writeAfterRequestSent:
      return .unreachable(address.description, "the connection was closed")
    case .readTimeout, .writeTimeout:
      return .unreachable(address.description, "it stopped answering")
    case .deadlineExceeded:
      return CommandError(code: "DEADLINE_EXCEEDED", message: "\(address) did not answer in time")
    case .invalidURL, .emptyHost, .emptyScheme:
      return .usage("\(address) is not a valid address")
    default: return .unreachable(address.description, error.shortDescription)
    }
  }

  /// The first attempt's reason: with several addresses of one host they are as a rule the same.
  private static func reason(_ error: NIOConnectionError) -> String {
    if let failure = error.connectionErrors.first {
      if let io = failure.error as? IOError { return describe(errno: io.errnoCode) }
      if failure.error is ChannelError { return "connecting took too long" }
      return "\(failure.error)"
    }
    return error.dnsAError == nil && error.dnsAAAAError == nil ? "no connection" : "unknown host \(error.host)"
  }

  private static func describe(errno code: CInt) -> String {
    String(cString: strerror(code)).lowercased()
  }
}

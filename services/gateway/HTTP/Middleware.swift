import Hummingbird
import Logging
import NIOHTTP1
import RPC

/// Around every request, found route or not: the guard in front, one access log line behind, and every error as JSON.
struct Edge: RouterMiddleware {
  typealias Context = BasicRequestContext

  let hostGuard: HostGuard
  let logger: Logger
  let metrics: GatewayMetrics

  func handle(
    _ request: Request, context: BasicRequestContext,
    next: (Request, BasicRequestContext) async throws -> Response
  ) async throws -> Response {
    let start = ContinuousClock.now
    var response: Response
    do {
      try hostGuard.check(request)
      response = try await next(request, context)
    } catch let error as HTTPParserError {
      // The bytes were not HTTP or broke off: the server answers or closes by itself.
      throw error
    } catch {
      response = refusal(error, request).response
    }
    response.headers[.xContentTypeOptions] = "nosniff"
    response.headers[.crossOriginResourcePolicy] = "same-origin"
    log(request, response, start.duration(to: .now))
    return metrics.measured(response, to: request.method, route: context.endpointPath, since: start)
  }

  /// What the client is told. What went wrong inside is logged, not shown.
  private func refusal(_ error: any Error, _ request: Request) -> GatewayError {
    switch error {
    case let error as GatewayError: error
    case let error as UpstreamFailure: GatewayError(error.status, from: error.service)
    case let error as HTTPError where error.status == .notFound:
      .notFound("There is nothing at \(request.method.rawValue) \(request.uri.path).")
    case let error as HTTPError:
      GatewayError(
        status: error.status, code: Status.Code.invalidArgument.name, message: error.body ?? error.status.reasonPhrase)
    case is CancellationError:
      GatewayError(
        status: Status.Code.cancelled.httpStatus, code: Status.Code.cancelled.name,
        message: "The request was cancelled.")
    default: unexpected(error, request)
    }
  }

  private func unexpected(_ error: any Error, _ request: Request) -> GatewayError {
    logger.error(
      "request failed unexpectedly",
      metadata: ["method": "\(request.method.rawValue)", "path": "\(request.uri.path)", "error": "\(error)"])
    return GatewayError(
      status: .internalServerError, code: Status.Code.internalError.name,
      message: "The gateway failed; its log says why.")
  }

  private func log(_ request: Request, _ response: Response, _ elapsed: Duration) {
    let isNotable = !request.method.isSafe || response.status.code >= 400
    logger.log(
      level: isNotable ? .info : .debug, "request",
      metadata: [
        "method": "\(request.method.rawValue)", "path": "\(request.uri.path)", "status": "\(response.status.code)",
        "ms": "\(elapsed.milliseconds)",
      ])
  }
}

extension Duration {
  /// Rounded down.
  var milliseconds: Int64 {
    components.seconds * 1000 + components.attoseconds / 1_000_000_000_000_000
  }
}

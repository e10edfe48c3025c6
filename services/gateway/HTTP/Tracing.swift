import HTTPTypes
import Hummingbird
import ServiceKit
import Tracing

/// A SERVER span around every request until its last byte, in the trace that the client names or a new one. The answer
/// tells it in `traceparent`, so that whoever asked can find the trace.
struct RequestTracing: RouterMiddleware {
  typealias Context = BasicRequestContext

  let tracer: ServiceTracer

  func handle(
    _ request: Request, context: BasicRequestContext,
    next: (Request, BasicRequestContext) async throws -> Response
  ) async throws -> Response {
    var client = ServiceContext.topLevel
    tracer.extract(request.headers, into: &client, using: HTTPHeaders())
    let span = tracer.startSpan(request.method.rawValue, context: client, ofKind: .server)
    span.attributes["http.request.method"] = request.method.rawValue
    span.attributes["url.path"] = request.uri.path
    do {
      var response = try await ServiceContext.withValue(span.context) { try await next(request, context) }
      span.answered(response.status, route: context.endpointPath, request.method)
      response.headers[.traceparent] = span.trace.traceparent
      response.body = Self.ending(span, response.body)
      return response
    } catch {
      span.answered(.badRequest, route: context.endpointPath, request.method)
      span.recordError(error)
      span.end()
      throw error
    }
  }

  /// A stream's span lasts as long as the stream, and what the stream asks of the services belongs to it.
  /// A body that is never written ends its span when it is dropped.
  private static func ending(_ span: ServiceSpan, _ body: ResponseBody) -> ResponseBody {
    ResponseBody(contentLength: body.contentLength) { writer in
      defer { span.end() }
      do {
        try await ServiceContext.withValue(span.context) { try await body.write(writer) }
      } catch {
        span.recordError(error)
        throw error
      }
    }
  }
}

extension ServiceSpan {
  fileprivate func answered(_ status: HTTPResponse.Status, route: String?, _ method: HTTPRequest.Method) {
    if let route {
      operationName = "\(method.rawValue) \(route)"
      attributes["http.route"] = route
    }
    attributes["http.response.status_code"] = status.code
    if status.code >= 500 { setStatus(SpanStatus(code: .error, message: status.description)) }
  }
}

/// A request's headers as carrier of a trace's context.
private struct HTTPHeaders: Extractor {
  /// A header that may only come once and comes more often is none.
  func extract(key: String, from headers: HTTPFields) -> String? {
    guard let name = HTTPField.Name(key) else { return nil }
    let values = headers[values: name]
    return key == "tracestate" ? values.joined(separator: ",") : values.count == 1 ? values[0] : nil
  }
}

extension HTTPField.Name {
  static let traceparent = Self("traceparent")!
}

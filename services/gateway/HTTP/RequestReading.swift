import Hummingbird
import Messages
import NIOCore
import RPC
import Stubs

/// The most bytes of a JSON body.
let maximumJSONBytes = 1 << 20

extension Request {
  /// The body as a message; `Message()` for an empty body where `mayBeEmpty`.
  /// - Throws: `GatewayError` 415 if it is not declared as JSON, which also keeps plain HTML forms out; 413 over 1 MiB;
  ///   400 if it is malformed or does not fit the message.
  func json<Message: ProtobufMessage>(_: Message.Type, mayBeEmpty: Bool = false) async throws -> Message {
    if let declared = headers[.contentType], mediaType(declared) != "application/json" { throw notJSON }
    let body = try await collectBody(limit: maximumJSONBytes)
    if body.readableBytes == 0, mayBeEmpty { return Message() }
    guard headers[.contentType] != nil else { throw notJSON }
    do {
      return try ProtoJSON.decode(Message.self, from: Array(body.readableBytesView), options: .init())
    } catch {
      throw GatewayError.badRequest("The body is not a valid request: \(error)")
    }
  }

  /// The whole body.
  /// - Throws: `GatewayError` 413 over `limit` bytes, 400 if the client ended it early, 408 if it took too long.
  func collectBody(limit: Int) async throws -> ByteBuffer {
    let announced = try contentLength
    if let announced, announced > limit { throw GatewayError.tooLarge(limit: limit) }
    do {
      let bytes = try await body.collect(upTo: limit)
      try checkComplete(received: bytes.readableBytes, announced: announced)
      return bytes
    } catch is NIOTooManyBytesError {
      throw GatewayError.tooLarge(limit: limit)
    }
  }

  /// The Content-Length in bytes; nil for a chunked body and for none.
  var contentLength: Int? {
    get throws { try headers[.contentLength].map { try wholeNumber($0, named: "Content-Length", in: 0...Int.max) } }
  }

  /// A connection that breaks in the middle of a body may look like the body's end.
  func checkComplete(received: Int, announced: Int?) throws {
    if let announced, received != announced {
      throw GatewayError.badRequest("The body ended after \(received) of \(announced) bytes.")
    }
  }

  /// Who asks. There are no accounts yet, so this is what the client says.
  /// - Throws: `GatewayError` 400 if the name is longer than 100 characters.
  var user: String {
    get throws {
      guard let name = headers[.user]?.trimmingSpaces, !name.isEmpty else { return "anonymous" }
      guard name.count <= 100 else { throw GatewayError.badRequest("X-Buddy-User may have at most 100 characters.") }
      return name
    }
  }

  /// The query's parameters, decoded.
  /// - Throws: `GatewayError` 400 for a malformed query, and for a parameter that is not among `names`: one that is
  ///   misspelt would silently ask for something else.
  func query(_ names: [String]) throws -> Query {
    let query = try Query(uri.query)
    let unknown = query.names(except: names)
    guard unknown.isEmpty else {
      let list = unknown.map { "\"\($0.prefix(40))\"" }.joined(separator: ", ")
      let known = names.isEmpty ? "no parameters" : names.joined(separator: ", ")
      throw GatewayError.badRequest("The query has unknown parameters: \(list). This path takes \(known).")
    }
    return query
  }

  /// `page_size` (1 to 1000) and `page_token`.
  func page(_ query: Query) throws -> PageRequest {
    PageRequest(
      size: try query.integer("page_size", in: 1...1000) ?? 0, token: query.text("page_token") ?? "")
  }

  private var notJSON: GatewayError {
    GatewayError(
      status: .unsupportedMediaType, code: "UNSUPPORTED_MEDIA_TYPE",
      message: "The body must be JSON, declared as Content-Type: application/json.")
  }
}

extension RequestContext {
  /// The path parameter `name`, decoded.
  /// - Throws: `GatewayError` 400 for a malformed escape, and for control characters, which no identifier has.
  func pathText(_ name: String) throws -> String {
    guard let raw = parameters.get(name), let text = percentDecoded(raw), !text.isEmpty else {
      throw GatewayError.badRequest("The path has an invalid percent escape.")
    }
    guard !text.hasControlCharacters else {
      throw GatewayError.badRequest("The path has a control character in its \(name).")
    }
    return text
  }
}

/// The media type of a Content-Type without its parameters, in lower case.
func mediaType(_ contentType: String) -> String {
  String(contentType.prefix { $0 != ";" }).trimmingSpaces.lowercased()
}

/// Writes a file's services: a handler protocol with its registration, the methods, and a client.
struct ServiceWriter {
  let symbols: Symbols

  /// Nil for a file without services.
  func write(_ file: ProtoFile) -> String? {
    guard !file.services.isEmpty else { return nil }
    var text = SourceText.header(file.path, imports: ["public import Messages", "public import RPC"])
    for service in file.services {
      let name = Symbols.serviceName(service, package: file.package)
      text.line()
      handler(service, name, into: &text)
      text.line()
      registration(service, name, into: &text)
      text.line()
      methods(service, name, into: &text)
      text.line()
      client(service, name, into: &text)
    }
    return text.text
  }

  private func types(_ method: ProtoMethod) -> (request: String, response: String) {
    (symbols.swiftName(method.input), symbols.swiftName(method.output))
  }

  private func function(_ method: ProtoMethod) -> String {
    SwiftNames.escaped(SwiftNames.lowerFirst(method.name))
  }

  private func handler(_ service: ProtoService, _ name: String, into text: inout SourceText) {
    text.doc(service.comment, isDeprecated: service.isDeprecated)
    text.block("public protocol \(name)Handler: Sendable") { text in
      for method in service.methods {
        let (request, response) = types(method)
        text.doc(method.comment, isDeprecated: method.isDeprecated)
        var parameters = [
          method.isClientStreaming ? "_ requests: RequestStream<\(request)>" : "_ request: \(request)"
        ]
        if method.isServerStreaming { parameters.append("_ responses: ResponseWriter<\(response)>") }
        parameters.append("_ context: ServerContext")
        let tail = method.isServerStreaming ? ") async throws" : ") async throws -> \(response)"
        text.list("func \(function(method))(", parameters, tail)
      }
    }
  }

  private func registration(_ service: ProtoService, _ name: String, into text: inout SourceText) {
    text.block("extension Router") { text in
      text.line("/// Serves every method of \(service.fullName) with the handler.")
      text.block("public mutating func register(_ handler: some \(name)Handler)") { text in
        for method in service.methods {
          let call = method.isServerStreaming ? "{ try await handler.\(function(method))($0, $1, $2) }"
            : "{ try await handler.\(function(method))($0, $1) }"
          text.line("\(kind(method))(\(name)Methods.\(function(method))) \(call)")
        }
      }
    }
  }

  private func kind(_ method: ProtoMethod) -> String {
    switch (method.isClientStreaming, method.isServerStreaming) {
    case (false, false): "unary"
    case (false, true): "serverStreaming"
    case (true, false): "clientStreaming"
    case (true, true): "bidirectional"
    }
  }

  private func methods(_ service: ProtoService, _ name: String, into text: inout SourceText) {
    text.line("/// Paths and message types of \(service.fullName).")
    text.block("public enum \(name)Methods") { text in
      text.line("public static let serviceName = \"\(service.fullName)\"")
      for method in service.methods {
        let (request, response) = types(method)
        text.list(
          "public static let \(function(method)) = Method<\(request), \(response)>(",
          ["\"/\(service.fullName)/\(method.name)\"", "request: .protobuf", "response: .protobuf"], ")")
      }
    }
  }

  private func client(_ service: ProtoService, _ name: String, into text: inout SourceText) {
    text.doc(service.comment, isDeprecated: service.isDeprecated)
    if !service.comment.isEmpty || service.isDeprecated { text.line("///") }
    text.line("/// Every call throws `Status`, and nothing else.")
    text.block("public struct \(name)Client: Sendable") { text in
      text.line("private let client: Client")
      text.line()
      text.line("public init(_ client: Client) { self.client = client }")
      for method in service.methods {
        text.line()
        text.doc(method.comment)
        if method.isDeprecated { text.line("@available(*, deprecated)") }
        call(method, name, into: &text)
      }
    }
  }

  private func call(_ method: ProtoMethod, _ name: String, into text: inout SourceText) {
    let (request, response) = types(method)
    let options = "_ options: CallOptions = .init()"
    let isBidirectional = method.isClientStreaming && method.isServerStreaming
    let parameters: [String]
    if isBidirectional {
      let body = "_ body: @Sendable (RequestWriter<\(request)>, ResponseStream<\(response)>) async throws -> Result"
      parameters = [options, body]
    } else if method.isClientStreaming {
      parameters = [options, "_ produce: @escaping @Sendable (RequestWriter<\(request)>) async throws -> Void"]
    } else {
      parameters = ["_ request: \(request)", options]
    }
    let result = isBidirectional ? "Result" : method.isServerStreaming ? "ResponseStream<\(response)>" : response
    text.list(
      "public func \(function(method))\(isBidirectional ? "<Result: Sendable>" : "")(", parameters,
      ") async throws -> \(result) {")
    text.indented {
      let arguments =
        isBidirectional ? "options, body" : method.isClientStreaming ? "options, produce" : "request, options"
      $0.line("try await client.\(kind(method))(\(name)Methods.\(function(method)), \(arguments))")
    }
    text.line("}")
  }
}

/// Writes a file's services: a handler protocol with its registration, the methods, and (`ClientWriter`) a client.
///
/// What is deprecated in the .proto carries `@available(*, deprecated)` where only callers use it. Whoever serves it
/// must go on doing so, so handlers are told in words alone.
struct ServiceWriter {
  let symbols: Symbols

  /// Nil for a file without services.
  func write(_ file: ProtoFile) -> String? {
    guard !file.services.isEmpty else { return nil }
    var text = SourceText.header(file.path, imports: ["public import Messages", "public import RPC"])
    for service in file.services {
      let code = ServiceCode(service, package: file.package, symbols)
      let partial = service.methods.count > 1 ? [partialHandler] : []
      for write in [handler] + partial + [registration, methods] {
        text.line()
        write(code, &text)
      }
      text.line()
      ClientWriter.write(code, into: &text)
    }
    return text.text
  }

  private func handler(_ service: ServiceCode, into text: inout SourceText) {
    text.doc(service.comment, isDeprecated: service.isDeprecated)
    text.line("///")
    text.line("/// `router.register` takes one. What a method throws ends its call: a `Status` as it is.")
    text.block("public protocol \(service.name)Handler: Sendable") { text in
      for method in service.methods {
        text.doc(method.comment, isDeprecated: method.isDeprecated)
        text.list("func \(method.function)(", method.handlerParameters, method.handlerResult)
      }
    }
  }

  /// A type that forgets a method should not compile; one that serves only some says so by the protocol it adopts.
  private func partialHandler(_ service: ServiceCode, into text: inout SourceText) {
    text.line("/// Serves some methods of \(service.fullName): those that are not there end with UNIMPLEMENTED.")
    text.list("public protocol \(service.name)PartialHandler: ", ["\(service.name)Handler"], " {}")
    text.line()
    text.block("extension \(service.name)PartialHandler") { text in
      for (index, method) in service.methods.enumerated() {
        if index > 0 { text.line() }
        text.list("public func \(method.function)(", method.handlerParameters, method.handlerResult + " {")
        text.indented { $0.line("throw \(service.name)Methods.\(method.function).unimplemented") }
        text.line("}")
      }
    }
  }

  private func registration(_ service: ServiceCode, into text: inout SourceText) {
    text.block("extension Router") { text in
      text.line("/// Serves every method of \(service.fullName) with the handler.")
      text.block("public mutating func register(_ handler: some \(service.name)Handler)") { text in
        for method in service.methods {
          let arguments = method.isServerStreaming ? "$0, $1, $2" : "$0, $1"
          text.statement(
            "\(method.kind)(\(service.name)Methods.\(method.function)) "
              + "{ try await handler.\(method.function)(\(arguments)) }")
        }
      }
    }
  }

  private func methods(_ service: ServiceCode, into text: inout SourceText) {
    text.line("/// Paths and message types of \(service.fullName).")
    text.block("public enum \(service.name)Methods") { text in
      text.line("public static let serviceName = \"\(service.fullName)\"")
      for method in service.methods {
        text.list(
          "public static let \(method.function) = Method<", [method.request, method.response],
          ">(\"/\(service.fullName)/\(method.name)\")")
      }
    }
  }
}

/// The pieces of Swift that one service needs.
struct ServiceCode {
  let name: String
  let fullName: String
  let comment: String
  let isDeprecated: Bool
  let methods: [MethodCode]

  init(_ service: ProtoService, package: String, _ symbols: Symbols) {
    name = Symbols.serviceName(service, package: package)
    fullName = service.fullName
    comment = service.comment.isEmpty ? "The service \(service.fullName)." : service.comment
    isDeprecated = service.isDeprecated
    methods = service.methods.map { MethodCode($0, symbols) }
  }
}

/// The pieces of Swift that one method needs.
struct MethodCode {
  let name: String
  let function: String
  let request: String
  let response: String
  let comment: String
  let isDeprecated: Bool
  let isClientStreaming: Bool
  let isServerStreaming: Bool

  init(_ method: ProtoMethod, _ symbols: Symbols) {
    name = method.name
    function = SwiftNames.escaped(SwiftNames.lowerFirst(method.name))
    request = symbols.swiftName(method.input)
    response = symbols.swiftName(method.output)
    comment = method.comment
    isDeprecated = method.isDeprecated
    isClientStreaming = method.isClientStreaming
    isServerStreaming = method.isServerStreaming
  }

  /// The function of `Router` and of `Client` for this kind of method.
  var kind: String {
    switch (isClientStreaming, isServerStreaming) {
    case (false, false): "unary"
    case (false, true): "serverStreaming"
    case (true, false): "clientStreaming"
    case (true, true): "bidirectional"
    }
  }

  var handlerParameters: [String] {
    let input = isClientStreaming ? "_ requests: RequestStream<\(request)>" : "_ request: \(request)"
    let output = isServerStreaming ? ["_ responses: ResponseWriter<\(response)>"] : []
    return [input] + output + ["_ context: ServerContext"]
  }

  var handlerResult: String { isServerStreaming ? ") async throws" : ") async throws -> \(response)" }
}

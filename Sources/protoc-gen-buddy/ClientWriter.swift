/// Writes a service's client: one function a method.
enum ClientWriter {
  static func write(_ service: ServiceCode, into text: inout SourceText) {
    text.doc(service.comment, isDeprecated: service.isDeprecated)
    text.line("///")
    text.line(errorNote(service))
    if service.isDeprecated { text.line("@available(*, deprecated)") }
    text.block("public struct \(service.name)Client: Sendable") { text in
      text.line("private let client: Client")
      text.line()
      text.line("public init(_ client: Client) { self.client = client }")
      for method in service.methods {
        text.line()
        text.doc(method.comment + parameterNote(method), isDeprecated: method.isDeprecated)
        if method.isDeprecated { text.line("@available(*, deprecated)") }
        call(method, of: service, into: &text)
      }
    }
  }

  private static func errorNote(_ service: ServiceCode) -> String {
    service.methods.contains(where: \.isClientStreaming)
      ? "/// Every call throws `Status`; one that takes a closure also throws what the closure threw."
      : "/// Every call throws `Status`, and nothing else."
  }

  /// What the types of a function alone do not say.
  private static func parameterNote(_ method: MethodCode) -> String {
    guard method.isClientStreaming else { return "" }
    let note =
      method.isServerStreaming
      ? "- Parameter body: Writes requests and reads responses. What it leaves of the call is cancelled."
      : "- Parameter produce: Writes the requests, which end when it returns."
    return (method.comment.isEmpty ? "" : "\n") + note
  }

  private static func call(_ method: MethodCode, of service: ServiceCode, into text: inout SourceText) {
    let shape = Shape(method)
    text.list(
      "public func \(method.function)\(shape.generics)(", shape.parameters, ") async throws -> \(shape.result) {")
    text.indented { text in
      text.list(
        "try await client.\(method.kind)(", ["\(service.name)Methods.\(method.function)"] + shape.arguments, ")")
    }
    text.line("}")
  }

  /// What a function looks like for each of the four kinds.
  private struct Shape {
    var generics = ""
    var parameters: [String]
    var arguments: [String]
    var result: String

    init(_ method: MethodCode) {
      let options = "_ options: CallOptions = .init()"
      let writer = "RequestWriter<\(method.request)>"
      let stream = "ResponseStream<\(method.response)>"
      switch (method.isClientStreaming, method.isServerStreaming) {
      case (false, let isStreaming):
        parameters = ["_ request: \(method.request)", options]
        arguments = ["request", "options"]
        result = isStreaming ? stream : method.response
      case (true, false):
        parameters = [options, "_ produce: @Sendable (\(writer)) async throws -> Void"]
        arguments = ["options", "produce"]
        result = method.response
      case (true, true):
        generics = "<Result: Sendable>"
        parameters = [options, "_ body: @Sendable (\(writer), \(stream)) async throws -> Result"]
        arguments = ["options", "body"]
        result = "Result"
      }
    }
  }
}

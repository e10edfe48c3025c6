import Hummingbird
import Messages

extension Response {
  /// A JSON answer of text that is JSON already.
  static func json(_ text: String, status: HTTPResponse.Status = .ok, headers: HTTPFields = [:]) -> Response {
    var headers = headers
    headers[.contentType] = "application/json"
    headers[.cacheControl] = "no-store"
    return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(string: text)))
  }

  /// `message` as canonical ProtoJSON. Fields with their default value are written too, so that a page's script finds
  /// `percent` and the lists without asking whether they exist.
  static func json(
    message: some ProtobufMessage, status: HTTPResponse.Status = .ok, headers: HTTPFields = [:]
  ) throws -> Response {
    json(try protoJSON(message), status: status, headers: headers)
  }
}

/// `message` on one line, as the HTTP API shows it everywhere: answers and events alike.
func protoJSON(_ message: some ProtobufMessage) throws -> String {
  try ProtoJSON.encode(message, options: .init(emitDefaults: true))
}

/// `text` as a JSON string (RFC 8259 §7), quotes included.
func jsonQuoted(_ text: String) -> String {
  var quoted = "\""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "\"": quoted += "\\\""
    case "\\": quoted += "\\\\"
    case "\n": quoted += "\\n"
    case "\r": quoted += "\\r"
    case "\t": quoted += "\\t"
    case "\u{0}"..."\u{1F}":
      let digits = String(scalar.value, radix: 16)
      quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
    default: quoted.unicodeScalars.append(scalar)
    }
  }
  return quoted + "\""
}

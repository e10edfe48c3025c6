import HTTP2

/// A request's headers, judged. Pure.
struct RequestHead {
  /// What is to be done with a request.
  enum Verdict {
    case call(Route, timeoutNanoseconds: Int64?)
    /// A gRPC client asked for something that cannot be: it gets a status.
    case refuse(Status)
    /// Not gRPC: an HTTP status, with a short text for whoever looks.
    case http(HeaderBlock, body: String)
  }

  static func judge(_ headers: Event.Headers, router: Router) -> Verdict {
    let block = headers.block
    var fields = Fields()
    for field in block { fields.take(field, of: block) }
    guard fields.isPost else {
      let body = fields.isHead ? "" : "gRPC uses POST\n"  // the answer to HEAD has none (RFC 9110 §9.3.2)
      return .http([":status": "405", "allow": "POST", "content-type": "text/plain"], body: body)
    }
    guard fields.isGRPC else {
      return .http(
        [":status": "415", "content-type": "text/plain"],
        body: "This is a gRPC server: content-type application/grpc\n")
    }
    if headers.isOversized { return .refuse(Status(.resourceExhausted, "the metadata is over the server's limit")) }
    guard let path = fields.path, let route = router.route(block[path]) else {
      let path = fields.path.map { String(block.string($0).prefix(200)) } ?? ""
      return .refuse(Status(.unimplemented, "unknown method \(path)"))
    }
    if let encoding = fields.encoding, !block.equals(encoding, "identity") {
      return .refuse(
        Status(.unimplemented, "grpc-encoding '\(block.string(encoding).prefix(40))' is not supported"))
    }
    if let field = fields.badBinary {
      return .refuse(Status(.internalError, "the value of '\(block.string(field).prefix(80))' is not base64"))
    }
    guard let timeout = fields.timeout else { return .call(route, timeoutNanoseconds: nil) }
    guard let nanoseconds = Timeout.parse(block[timeout]) else {
      return .refuse(Status(.internalError, "malformed grpc-timeout"))
    }
    return .call(route, timeoutNanoseconds: nanoseconds)
  }

  /// Where the fields that matter lie in the block.
  private struct Fields {
    var isPost = false
    var isHead = false
    var isGRPC = false
    var path: Range<Int>?
    var timeout: Range<Int>?
    var encoding: Range<Int>?
    var badBinary: Range<Int>?

    mutating func take(_ field: HeaderBlock.Field, of block: HeaderBlock) {
      switch field.name.count {
      case 5 where block.equals(field.name, ":path"): path = field.value
      case 7 where block.equals(field.name, ":method"):
        isPost = block.equals(field.value, "POST")
        isHead = !isPost && block.equals(field.value, "HEAD")
      case 12 where block.equals(field.name, "content-type"): isGRPC = Self.isGRPC(field.value, of: block)
      case 12 where block.equals(field.name, "grpc-timeout"): timeout = field.value
      case 13 where block.equals(field.name, "grpc-encoding"): encoding = field.value
      default:
        guard block.ends(field.name, with: "-bin") else { return }
        let parts = block[field.value].split(separator: UInt8(ascii: ","), omittingEmptySubsequences: false)
        if parts.contains(where: { Base64.decode($0) == nil }) { badBinary = field.name }
      }
    }

    /// `application/grpc`, alone or with `+format` or `;parameters`.
    private static func isGRPC(_ value: Range<Int>, of block: HeaderBlock) -> Bool {
      guard block.starts(value, with: "application/grpc") else { return false }
      guard value.count > 16, let next = block[(value.lowerBound + 16)..<value.upperBound].first else { return true }
      return next == UInt8(ascii: "+") || next == UInt8(ascii: ";")
    }
  }
}

extension HeaderBlock {
  /// The headers of an answer that has messages.
  static let responseHead: HeaderBlock = [":status": "200", "content-type": "application/grpc"]
  /// The headers of an answer that refuses an encoding also say which one would do.
  static let refusalHead: HeaderBlock = [
    ":status": "200", "content-type": "application/grpc", "grpc-accept-encoding": "identity",
  ]
}

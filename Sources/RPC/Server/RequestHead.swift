import HTTP2

/// A request's headers, judged. Pure.
struct RequestHead {
  /// What is to be done with a request.
  enum Verdict {
    /// Its messages may be compressed as the encoding says.
    case call(Route, timeoutNanoseconds: Int64?, Compression)
    /// A gRPC client asked for something that cannot be: it gets a status.
    case refuse(Status)
    /// Not gRPC: an HTTP status, with a short text for whoever looks.
    case http(HeaderBlock, body: String)
  }

  /// - Parameter acceptsCompressed: Whether messages may be compressed.
  static func judge(_ headers: Event.Headers, router: Router, acceptsCompressed: Bool = true) -> Verdict {
    let block = headers.block
    var fields = Fields()
    for field in block { fields.take(field, of: block) }
    // Before the rest: what would show that it is gRPC may be among what did not fit.
    if headers.isOversized, !fields.isForeign {
      return .refuse(Status(.resourceExhausted, "the metadata is over the server's limit"))
    }
    guard fields.isPost else {
      let body = fields.isHead ? "" : "gRPC uses POST\n"  // the answer to HEAD has none (RFC 9110 §9.3.2)
      return .http([":status": "405", "allow": "POST", "content-type": "text/plain"], body: body)
    }
    guard fields.isGRPC else {
      return .http(
        [":status": "415", "content-type": "text/plain"],
        body: "This is a gRPC server: content-type application/grpc\n")
    }
    guard let path = fields.path, let route = router.route(block, path) else {
      let path = fields.path.map { String(block.string($0).prefix(200)) } ?? ""
      return .refuse(Status(.unimplemented, "unknown method \(path)"))
    }
    var encoding = Compression.none
    if let field = fields.encoding {
      guard let named = Compression(name: field, of: block), named == .none || acceptsCompressed else {
        let name = block.string(field).prefix(40)
        return .refuse(Status(.unimplemented, "grpc-encoding '\(name)' is not supported"))
      }
      encoding = named
    }
    if let field = fields.badBinary {
      return .refuse(Status(.internalError, "the value of '\(block.string(field).prefix(80))' is not base64"))
    }
    guard let timeout = fields.timeout else { return .call(route, timeoutNanoseconds: nil, encoding) }
    guard let nanoseconds = Timeout.parse(block[timeout]) else {
      return .refuse(Status(.internalError, "malformed grpc-timeout"))
    }
    return .call(route, timeoutNanoseconds: nanoseconds, encoding)
  }

  /// Where the fields that matter lie in the block.
  private struct Fields {
    var isPost = false
    var isHead = false
    var isGRPC = false
    /// A method or a type is there, and is not gRPC's.
    var isForeign = false
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
        if !isPost { isForeign = true }
      case 12 where block.equals(field.name, "content-type"):
        isGRPC = Self.isGRPC(field.value, of: block)
        if !isGRPC { isForeign = true }
      case 12 where block.equals(field.name, "grpc-timeout"): timeout = field.value
      case 13 where block.equals(field.name, "grpc-encoding"): encoding = field.value
      default:
        guard block.ends(field.name, with: "-bin") else { return }
        if !Metadata.isBinary(block[field.value]) { badBinary = field.name }
      }
    }

    /// `application/grpc`, alone or with `+format` or `;parameters`.
    private static func isGRPC(_ value: Range<Int>, of block: HeaderBlock) -> Bool {
      guard block.starts(value, with: "application/grpc") else { return false }
      guard value.count > 16 else { return true }
      let next = block.bytes[value.lowerBound + 16]
      return next == UInt8(ascii: "+") || next == UInt8(ascii: ";")
    }
  }
}

extension HeaderBlock {
  /// The headers of an answer that has messages.
  static let responseHead: HeaderBlock = [":status": "200", "content-type": "application/grpc"]
  /// The same where messages may be compressed.
  static let compressedHead: HeaderBlock = [
    ":status": "200", "content-type": "application/grpc", "grpc-encoding": "gzip",
    "grpc-accept-encoding": Compression.accepted,
  ]

  /// The headers of an answer without messages also say which encodings would do.
  static func refusalHead(acceptsCompressed: Bool) -> HeaderBlock { acceptsCompressed ? refusal : plainRefusal }

  private static let refusal: HeaderBlock = [
    ":status": "200", "content-type": "application/grpc", "grpc-accept-encoding": Compression.accepted,
  ]
  private static let plainRefusal: HeaderBlock = [
    ":status": "200", "content-type": "application/grpc", "grpc-accept-encoding": Compression.acceptedUncompressed,
  ]
}

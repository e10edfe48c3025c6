import HTTP2

/// A response's headers or trailers, judged. Pure.
enum ResponseHead {
  /// 1xx: the real headers follow.
  case informational
  /// Messages follow, some of them compressed so.
  case open(Compression)
  /// The call is over.
  case over(Status)

  /// - Parameter acceptsCompressed: Whether the client offered to take what is compressed.
  init(_ headers: Event.Headers, acceptsCompressed: Bool) {
    let block = headers.block
    if headers.isOversized {
      self = .over(Status(.resourceExhausted, "the response's metadata is over the limit"))
      return
    }
    guard let httpStatus = block[":status"].flatMap({ Int($0) }) else {
      self = .over(Self.status(block) ?? Status(.internalError, "the trailers hold no grpc-status"))
      return
    }
    if (100..<200).contains(httpStatus) {
      self = .informational
    } else if headers.endStream, let status = Self.status(block) {
      self = .over(status)
    } else if httpStatus != 200 {
      self = .over(Status(Status.Code(httpStatus: httpStatus), "the server answered with HTTP status \(httpStatus)"))
    } else if headers.endStream {
      self = .over(Status(.internalError, "the server ended the call without a status"))
    } else if block["content-type"]?.hasPrefix("application/grpc") != true {
      self = .over(Status(.unknown, "the server's answer is not gRPC: \(block["content-type"] ?? "no content-type")"))
    } else {
      self = Self.opening(block, acceptsCompressed: acceptsCompressed)
    }
  }

  private static func opening(_ block: HeaderBlock, acceptsCompressed: Bool) -> ResponseHead {
    guard let field = block.first(where: { block.equals($0.name, "grpc-encoding") }) else { return .open(.none) }
    let encoding = Compression(name: field.value, of: block)
    if let encoding, encoding == .none || acceptsCompressed { return .open(encoding) }
    let name = block.string(field.value).prefix(40)
    return .over(Status(.internalError, "the server used the encoding '\(name)', which was not offered"))
  }

  /// The status that trailers hold, with their metadata.
  private static func status(_ block: HeaderBlock) -> Status? {
    guard let text = block["grpc-status"] else { return nil }
    let message = block["grpc-message"].map(StatusMessage.decode) ?? ""
    // Digits only: `Int` takes a sign too.
    let isNumber = text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }
    let code = (isNumber ? Int(text) : nil).flatMap(Status.Code.init(rawValue:))
    return Status(code ?? .unknown, code == nil ? "status \(text): \(message)" : message, metadata: Metadata(block))
  }
}

public import Messages
public import RPC

/// What a program can act on in an error: protobuf messages beside code and message, those of google/rpc/error_details
/// or any others. They travel as google.rpc.Status in the trailer `grpc-status-details-bin`, as in every gRPC library.
extension Status {
  public typealias ErrorInfo = GoogleRpcErrorInfo
  public typealias RetryInfo = GoogleRpcRetryInfo
  public typealias BadRequest = GoogleRpcBadRequest
  public typealias PreconditionFailure = GoogleRpcPreconditionFailure
  public typealias QuotaFailure = GoogleRpcQuotaFailure
  public typealias ResourceInfo = GoogleRpcResourceInfo
  public typealias RequestInfo = GoogleRpcRequestInfo
  public typealias DebugInfo = GoogleRpcDebugInfo
  public typealias Help = GoogleRpcHelp
  public typealias LocalizedMessage = GoogleRpcLocalizedMessage

  static let detailsKey = "grpc-status-details-bin"

  /// The most that message and details take in the trailers, in bytes: percent-encoded the one, base64 the others.
  /// Peers refuse trailers that are too long, and then not even the code would arrive.
  public static let maximumDetailBytes = 8 * 1024

  /// A status with details, the most important first. Where message and details would take more than
  /// `maximumDetailBytes`, other metadata counted in, the message is cut to 1 KiB of `grpc-message`; where they take
  /// more even then, the last details are left out. So is one that cannot be encoded.
  ///
  /// Code and message are in the details too, where some libraries compare them: set them here, not later.
  public init(_ code: Code, _ message: String = "", details: [any ProtobufMessage], metadata: Metadata = [:]) {
    self.init(code, message, metadata: metadata)
    self.metadata.removeAll(Self.detailsKey)
    var packed = GoogleRpcStatus(code: Int32(code.rawValue), message: message)
    packed.details = details.compactMap { try? GoogleProtobufAny(packing: $0) }
    guard !packed.details.isEmpty else { return }
    if packed.trailerBytes > StatusMessage.room(beside: self.metadata) {
      let short = StatusMessage.encode(message, limit: StatusMessage.minimumBytes)
      packed.message = StatusMessage.decode(short)
    }
    while packed.trailerBytes > Self.maximumDetailBytes { packed.details.removeLast() }
    guard !packed.details.isEmpty, let bytes = try? packed.bytes() else { return }
    self.message = packed.message
    self.metadata.addBinary(bytes, for: Self.detailsKey)
  }

  /// All details, as they came; empty if there are none, or they cannot be read: the code and message count then.
  public var details: [GoogleProtobufAny] {
    guard let bytes = metadata.binary(Self.detailsKey) else { return [] }
    return (try? GoogleRpcStatus(wire: bytes))?.details ?? []
  }

  /// The details that are of this type, in order. One that says so and is not is left out.
  public func details<Detail: ProtobufMessage>(of type: Detail.Type) -> [Detail] {
    details.compactMap { $0.unpacked(as: type) }
  }

  /// The first detail of this type.
  public func detail<Detail: ProtobufMessage>(_ type: Detail.Type) -> Detail? {
    for any in details {
      if let detail = any.unpacked(as: type) { return detail }
    }
    return nil
  }
}

extension GoogleRpcStatus {
  /// As message and details of a status. Nothing without details, or where it cannot be encoded: a message with a zero.
  fileprivate var trailerBytes: Int {
    guard !details.isEmpty, let bytes = try? bytes() else { return 0 }
    let message = StatusMessage.encode(message, limit: .max).utf8.count
    return message + Status.detailsKey.utf8.count + (bytes.count + 2) / 3 * 4
  }
}

// MARK: - The usual ones

extension Status {
  /// INVALID_ARGUMENT that says of each wrong field what is wrong with it.
  /// - Parameter violations: Fields as paths, `input.name`, with a sentence each. The first is in the message too.
  public static func badRequest(_ violations: [(field: String, description: String)]) -> Status {
    let message = violations.first.map { "\($0.field): \($0.description)" } ?? "the request is not valid"
    let all = violations.map { BadRequest.FieldViolation(field: $0.field, description: $0.description) }
    return Status(.invalidArgument, message, details: [BadRequest(fieldViolations: all)])
  }

  /// An error that a caller may try again, no sooner than after `delay`.
  public static func retry(
    after delay: Duration, _ code: Code = .unavailable, _ message: String = ""
  ) -> Status {
    Status(code, message, details: [RetryInfo(retryDelay: GoogleProtobufDuration(delay))])
  }

  /// How long the server asks to wait before the next attempt; nil if it does not say.
  public var retryDelay: Duration? { detail(RetryInfo.self)?.retryDelay?.duration }

  /// Which field is wrong and why, from `BadRequest`; empty if the server does not say.
  public var fieldViolations: [(field: String, description: String)] {
    details(of: BadRequest.self).flatMap(\.fieldViolations).map { ($0.field, $0.description) }
  }
}

// MARK: - Any

extension GoogleProtobufAny {
  /// A message in its wire form, under its name.
  /// - Throws: `WireError` if it cannot be encoded.
  public init(packing message: some ProtobufMessage) throws {
    self.init(typeUrl: "type.googleapis.com/\(type(of: message).messageName)", value: try message.bytes())
  }

  /// The message, if it is one of this type: the part of the URL behind its last slash is the message's full name.
  public func unpacked<Message: ProtobufMessage>(as type: Message.Type) -> Message? {
    guard let slash = typeUrl.lastIndex(of: "/"), typeUrl[typeUrl.index(after: slash)...] == type.messageName else {
      return nil
    }
    return try? Message(wire: value)
  }
}

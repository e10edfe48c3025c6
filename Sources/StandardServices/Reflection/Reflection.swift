public import Messages
import NIOConcurrencyHelpers
public import RPC
public import Stubs

/// gRPC's server reflection, v1 and v1alpha: what is served here, and the .proto files that describe it, so that a
/// caller without them (grpcurl, Postman) can call.
public final class Reflection: GrpcReflectionV1ServerReflectionHandler {
  private typealias Request = GrpcReflectionV1ServerReflectionRequest
  private typealias Response = GrpcReflectionV1ServerReflectionResponse
  private typealias Answer = GrpcReflectionV1ServerReflectionResponse.MessageResponse

  /// Of the two versions.
  public static let serviceNames = [
    GrpcReflectionV1ServerReflectionMethods.serviceName, GrpcReflectionV1alphaServerReflectionMethods.serviceName,
  ]

  /// Bytes of a name that is asked for, and of the host it is asked of: both come back in the answer.
  static let nameLimit = 1024

  private let services: [String]
  private let encoded: [StaticString]
  private let index = NIOLockedValueBox<DescriptorIndex?>(nil)

  /// - Parameters:
  ///   - services: The full names of what is served: `router.services`, when all others are registered. Reflection's
  ///     own are added.
  ///   - files: FileDescriptorProtos in base64, as `protoc-gen-buddy` writes them for `--buddy_opt=descriptors`;
  ///     looked at when somebody asks.
  public init(services: [String], files: [StaticString] = Descriptors.files) {
    self.services = Set(services + Self.serviceNames).sorted()
    encoded = files
  }

  /// Answers every request in turn; what it cannot answer is an error response, and the stream goes on.
  /// - Throws: INVALID_ARGUMENT for a name or host over `nameLimit`.
  public func serverReflectionInfo(
    _ requests: RequestStream<GrpcReflectionV1ServerReflectionRequest>,
    _ responses: ResponseWriter<GrpcReflectionV1ServerReflectionResponse>,
    _ context: ServerContext
  ) async throws {
    let index = try loadedIndex()
    var sent: Set<Int> = []
    for try await request in requests {
      try Self.checkLength(request)
      let answer: Answer
      do {
        answer = try self.answer(request.messageRequest, index, &sent)
      } catch let status as Status {
        answer = .errorResponse(.init(errorCode: Int32(status.code.rawValue), errorMessage: status.message))
      }
      try await responses.write(
        Response(validHost: request.host, originalRequest: request, messageResponse: answer))
    }
  }

  private static func checkLength(_ request: Request) throws {
    let name: String =
      switch request.messageRequest {
      case .fileByFilename(let name), .fileContainingSymbol(let name), .allExtensionNumbersOfType(let name),
        .listServices(let name):
        name
      case .fileContainingExtension(let wanted): wanted.containingType
      case nil: ""
      }
    guard max(name.utf8.count, request.host.utf8.count) <= nameLimit else {
      throw Status(.invalidArgument, "a name or host has at most \(nameLimit) bytes")
    }
  }

  private func answer(
    _ request: Request.MessageRequest?, _ index: DescriptorIndex, _ sent: inout Set<Int>
  ) throws -> Answer {
    switch request {
    case .listServices: return .listServicesResponse(.init(service: services.map { .init(name: $0) }))
    case .fileByFilename(let name):
      guard let file = index.file(named: name) else { throw Status(.notFound, "there is no file \"\(name)\"") }
      return .fileDescriptorResponse(.init(fileDescriptorProto: index.closure(of: file, without: &sent)))
    case .fileContainingSymbol(let symbol):
      guard let file = index.file(declaring: symbol) else {
        throw Status(.notFound, "no file declares \"\(symbol)\"")
      }
      return .fileDescriptorResponse(.init(fileDescriptorProto: index.closure(of: file, without: &sent)))
    case .fileContainingExtension(let wanted):
      throw Status(
        .notFound, "\"\(wanted.containingType)\" has no extension \(wanted.extensionNumber): there are none in proto3")
    case .allExtensionNumbersOfType(let type):
      guard index.isMessage(type) else { throw Status(.notFound, "there is no message \"\(type)\"") }
      return .allExtensionNumbersResponse(.init(baseTypeName: type))
    case nil: throw Status(.invalidArgument, "the request asks for nothing")
    }
  }

  private func loadedIndex() throws -> DescriptorIndex {
    try index.withLockedValue { index in
      if let index { return index }
      let files = try encoded.map { text in
        guard let bytes = Base64.decode(UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount)),
          let file = try? DescriptorFile(bytes)
        else { throw Status(.internalError, "a file descriptor of this server is malformed") }
        return file
      }
      let loaded = DescriptorIndex(files)
      index = loaded
      return loaded
    }
  }
}

extension Router {
  /// Serves both versions of reflection. Their messages are the same on the wire, so v1alpha is v1 by another name.
  public mutating func register(_ reflection: Reflection) {
    bidirectional(GrpcReflectionV1ServerReflectionMethods.serverReflectionInfo) {
      try await reflection.serverReflectionInfo($0, $1, $2)
    }
    let v1 = GrpcReflectionV1ServerReflectionMethods.serverReflectionInfo
    let path = GrpcReflectionV1alphaServerReflectionMethods.serverReflectionInfo.path
    bidirectional(Method(path, request: v1.request, response: v1.response)) {
      try await reflection.serverReflectionInfo($0, $1, $2)
    }
  }
}

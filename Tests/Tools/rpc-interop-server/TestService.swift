import Foundation
import Messages
import RPC
import Stubs

/// `grpc.testing.TestService`. `UnimplementedCall` is left out, and so is `UnimplementedService`.
struct TestService: GrpcTestingTestServicePartialHandler {
  private let serverID = UUID().uuidString

  func emptyCall(_ request: GrpcTestingEmpty, _ context: ServerContext) async throws -> GrpcTestingEmpty {
    Echo.metadata(context)
    return request
  }

  func unaryCall(
    _ request: GrpcTestingSimpleRequest, _ context: ServerContext
  ) async throws -> GrpcTestingSimpleResponse {
    if let wanted = request.responseCompressed { context.compressResponses(wanted.value) }
    Echo.metadata(context)
    try Echo.check(request.expectCompressed, wasCompressed: context.requestWasCompressed)
    try Echo.status(request.responseStatus)
    let payload = try Echo.payload(request.responseType, size: request.responseSize)
    var response = GrpcTestingSimpleResponse(payload: payload)
    if request.fillServerId { response.serverId = serverID }
    return response
  }

  /// The time, which differs each time, and leave to keep it for a minute.
  func cacheableUnaryCall(
    _ request: GrpcTestingSimpleRequest, _ context: ServerContext
  ) async throws -> GrpcTestingSimpleResponse {
    context.sendInitialMetadata(["cache-control": "max-age=60, public"])
    let nanoseconds = Int64(Date().timeIntervalSince1970 * 1e9)
    return GrpcTestingSimpleResponse(payload: GrpcTestingPayload(body: Array("\(nanoseconds)".utf8)))
  }

  func streamingOutputCall(
    _ request: GrpcTestingStreamingOutputCallRequest,
    _ responses: ResponseWriter<GrpcTestingStreamingOutputCallResponse>, _ context: ServerContext
  ) async throws {
    context.compressResponses(request.responseParameters.contains { $0.compressed?.value == true })
    Echo.metadata(context)
    try await answer(request, responses)
  }

  func streamingInputCall(
    _ requests: RequestStream<GrpcTestingStreamingInputCallRequest>, _ context: ServerContext
  ) async throws -> GrpcTestingStreamingInputCallResponse {
    Echo.metadata(context)
    var size = 0
    var iterator = requests.makeAsyncIterator()
    while let request = try await iterator.next() {
      try Echo.check(request.expectCompressed, wasCompressed: iterator.isCompressed)
      size += request.payload?.body.count ?? 0
    }
    return GrpcTestingStreamingInputCallResponse(aggregatedPayloadSize: Int32(clamping: size))
  }

  func fullDuplexCall(
    _ requests: RequestStream<GrpcTestingStreamingOutputCallRequest>,
    _ responses: ResponseWriter<GrpcTestingStreamingOutputCallResponse>, _ context: ServerContext
  ) async throws {
    Echo.metadata(context)
    for try await request in requests { try await answer(request, responses) }
  }

  func halfDuplexCall(
    _ requests: RequestStream<GrpcTestingStreamingOutputCallRequest>,
    _ responses: ResponseWriter<GrpcTestingStreamingOutputCallResponse>, _ context: ServerContext
  ) async throws {
    Echo.metadata(context)
    var all: [GrpcTestingStreamingOutputCallRequest] = []
    for try await request in requests { all.append(request) }
    for request in all { try await answer(request, responses) }
  }

  /// The responses that a request of a stream asks for, each after the time it asks for.
  private func answer(
    _ request: GrpcTestingStreamingOutputCallRequest,
    _ responses: ResponseWriter<GrpcTestingStreamingOutputCallResponse>
  ) async throws {
    try Echo.status(request.responseStatus)
    for wanted in request.responseParameters {
      if wanted.intervalUs > 0 { try await Task.sleep(for: .microseconds(Int(wanted.intervalUs))) }
      let payload = try Echo.payload(request.responseType, size: wanted.size)
      let response = GrpcTestingStreamingOutputCallResponse(payload: payload)
      try await responses.write(response, isCompressed: wanted.compressed?.value == true)
    }
  }
}

/// What every method gives back as it was asked to.
enum Echo {
  private static let initialKey = "x-grpc-test-echo-initial"
  private static let trailingKey = "x-grpc-test-echo-trailing-bin"

  static func metadata(_ context: ServerContext) {
    let metadata = context.metadata
    if let value = metadata[initialKey] { context.sendInitialMetadata([initialKey: value]) }
    if let value = metadata.binary(trailingKey) {
      var trailing = Metadata()
      trailing.addBinary(value, for: trailingKey)
      context.setTrailingMetadata(trailing)
    }
  }

  /// - Throws: The status asked for, unless it is OK.
  static func status(_ wanted: GrpcTestingEchoStatus?) throws {
    guard let wanted, wanted.code != 0 else { return }
    throw Status(Status.Code(rawValue: Int(wanted.code)) ?? .unknown, wanted.message)
  }

  /// - Throws: INVALID_ARGUMENT if a request did not come as it says it should have.
  static func check(_ expected: GrpcTestingBoolValue?, wasCompressed: Bool) throws {
    guard let expected, expected.value != wasCompressed else { return }
    throw Status(
      .invalidArgument, wasCompressed ? "the request came compressed" : "the request did not come compressed")
  }

  /// - Throws: INVALID_ARGUMENT for a type or size that cannot be.
  static func payload(_ type: GrpcTestingPayloadType, size: Int32) throws -> GrpcTestingPayload {
    guard type == .compressable, size >= 0 else {
      throw Status(.invalidArgument, "no payload of type \(type.protoName) and \(size) bytes")
    }
    return GrpcTestingPayload(type: type, body: [UInt8](repeating: 0, count: Int(size)))
  }
}

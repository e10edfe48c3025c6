import Messages
import RPC
import Stubs

enum StreamingCases {
  private static let requestSizes = [27_182, 8, 1_828, 45_904]
  private static let responseSizes = [31_415, 9, 2_653, 58_979]

  static func request(payload: Int, responses: [Int]) -> GrpcTestingStreamingOutputCallRequest {
    GrpcTestingStreamingOutputCallRequest(
      responseParameters: responses.map { GrpcTestingResponseParameters(size: Int32($0)) },
      payload: UnaryCases.zeros(payload))
  }

  @Sendable static func clientStreaming(_ setting: Setting) async throws {
    let response = try await setting.service.streamingInputCall { requests in
      for size in requestSizes {
        try await requests.write(GrpcTestingStreamingInputCallRequest(payload: UnaryCases.zeros(size)))
      }
    }
    try expect("the aggregated size", response.aggregatedPayloadSize, is: 74_922)
  }

  @Sendable static func serverStreaming(_ setting: Setting) async throws {
    var request = request(payload: 0, responses: responseSizes)
    request.payload = nil
    try await check(setting.service.streamingOutputCall(request), sizes: responseSizes)
  }

  @Sendable static func pingPong(_ setting: Setting) async throws {
    try await setting.service.fullDuplexCall { requests, responses in
      var iterator = responses.makeAsyncIterator()
      for (sent, wanted) in zip(requestSizes, responseSizes) {
        try await requests.write(request(payload: sent, responses: [wanted]))
        try UnaryCases.check(try await iterator.next()?.payload, size: wanted)
      }
      requests.finish()
      try expect(try await iterator.next() == nil, "there are more than four responses")
    }
  }

  /// No response may come before the last request went out.
  @Sendable static func halfDuplex(_ setting: Setting) async throws {
    try await setting.service.halfDuplexCall { requests, responses in
      for size in responseSizes { try await requests.write(request(payload: 1, responses: [size])) }
      requests.finish()
      try await check(responses, sizes: responseSizes)
    }
  }

  @Sendable static func emptyStream(_ setting: Setting) async throws {
    try await setting.service.fullDuplexCall { requests, responses in
      requests.finish()
      try await check(responses, sizes: [])
    }
  }

  private static func check(
    _ responses: ResponseStream<GrpcTestingStreamingOutputCallResponse>, sizes: [Int]
  ) async throws {
    var received: [Int] = []
    for try await response in responses { received.append(response.payload?.body.count ?? 0) }
    try expect("the responses' sizes", received, is: sizes)
  }
}

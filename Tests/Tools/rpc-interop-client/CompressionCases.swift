import Messages
import RPC
import Stubs

/// Both sides say of each message whether it comes compressed, and see whether it did.
enum CompressionCases {
  private static let yes = GrpcTestingBoolValue(value: true)
  private static let no = GrpcTestingBoolValue(value: false)

  private static var compressed: CallOptions {
    var options = CallOptions()
    options.compression = .gzip
    return options
  }

  /// The probe is refused where the server sees that it did not come compressed as it says.
  @Sendable static func clientUnary(_ setting: Setting) async throws {
    var request = UnaryCases.largeRequest()
    request.expectCompressed = yes
    try await expect(.invalidArgument, of: "the probe") { [request] in
      _ = try await setting.service.unaryCall(request)
    }
    try UnaryCases.check(
      try await setting.service.unaryCall(request, compressed).payload, size: UnaryCases.largeResponseSize)
    request.expectCompressed = no
    try UnaryCases.check(
      try await setting.service.unaryCall(request).payload, size: UnaryCases.largeResponseSize)
  }

  @Sendable static func serverUnary(_ setting: Setting) async throws {
    for wanted in [yes, no] {
      var request = UnaryCases.largeRequest()
      request.responseCompressed = wanted
      let response = try await setting.client.unaryResponse(GrpcTestingTestServiceMethods.unaryCall, request)
      try UnaryCases.check(response.message.payload, size: UnaryCases.largeResponseSize)
      try expect("whether the response came compressed", response.wasCompressed, is: wanted.value)
    }
  }

  @Sendable static func clientStreaming(_ setting: Setting) async throws {
    let first = GrpcTestingStreamingInputCallRequest(payload: UnaryCases.zeros(27_182), expectCompressed: yes)
    let second = GrpcTestingStreamingInputCallRequest(payload: UnaryCases.zeros(45_904), expectCompressed: no)
    try await expect(.invalidArgument, of: "the probe") {
      _ = try await setting.service.streamingInputCall { try await $0.write(first) }
    }
    let response = try await setting.service.streamingInputCall(compressed) { requests in
      try await requests.write(first, isCompressed: true)
      try await requests.write(second, isCompressed: false)
    }
    try expect("the aggregated size", response.aggregatedPayloadSize, is: 73_086)
  }

  @Sendable static func serverStreaming(_ setting: Setting) async throws {
    let request = GrpcTestingStreamingOutputCallRequest(responseParameters: [
      GrpcTestingResponseParameters(size: 31_415, compressed: yes),
      GrpcTestingResponseParameters(size: 92_653, compressed: no),
    ])
    var responses = try await setting.service.streamingOutputCall(request).makeAsyncIterator()
    for wanted in request.responseParameters {
      try UnaryCases.check(try await responses.next()?.payload, size: Int(wanted.size))
      try expect("whether it came compressed", responses.isCompressed, is: wanted.compressed?.value == true)
    }
    try expect(try await responses.next() == nil, "there are more than two responses")
  }
}

import Messages
import RPC
import Stubs

/// Cases about how calls end, and about the metadata around them.
enum EndingCases {
  @Sendable static func timeoutOnSleepingServer(_ setting: Setting) async throws {
    try await expect(.deadlineExceeded, of: "FullDuplexCall") {
      try await setting.service.fullDuplexCall(.timeout(.milliseconds(1))) { requests, responses in
        // The deadline may pass before this is sent: the responses tell in either case.
        try? await requests.write(StreamingCases.request(payload: 27_182, responses: []))
        for try await _ in responses {}
      }
    }
  }

  @Sendable static func cancelAfterBegin(_ setting: Setting) async throws {
    let (begun, beginning) = AsyncStream.makeStream(of: Void.self)
    let call = Task {
      _ = try await setting.service.streamingInputCall { _ in
        beginning.finish()
        try await Task.sleep(for: .seconds(3_600))
      }
    }
    for await _ in begun {}
    call.cancel()
    try await expect(.cancelled, of: "StreamingInputCall") { try await call.value }
  }

  @Sendable static func cancelAfterFirstResponse(_ setting: Setting) async throws {
    try await expect(.cancelled, of: "FullDuplexCall") {
      try await setting.service.fullDuplexCall { requests, responses in
        var iterator = responses.makeAsyncIterator()
        try await requests.write(StreamingCases.request(payload: 27_182, responses: [31_415]))
        try UnaryCases.check(try await iterator.next()?.payload, size: 31_415)
        responses.cancel()
        _ = try await iterator.next()
      }
    }
  }

  @Sendable static func statusCodeAndMessage(_ setting: Setting) async throws {
    let wanted = GrpcTestingEchoStatus(code: 2, message: "test status message")
    let unary = try await expect(.unknown, of: "UnaryCall") {
      _ = try await setting.service.unaryCall(GrpcTestingSimpleRequest(responseStatus: wanted))
    }
    try expect("UnaryCall's message", unary.message, is: wanted.message)
    let stream = try await expect(.unknown, of: "FullDuplexCall") {
      try await setting.service.fullDuplexCall { requests, responses in
        try await requests.write(GrpcTestingStreamingOutputCallRequest(responseStatus: wanted))
        requests.finish()
        for try await _ in responses {}
      }
    }
    try expect("FullDuplexCall's message", stream.message, is: wanted.message)
  }

  @Sendable static func specialStatusMessage(_ setting: Setting) async throws {
    let message = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
    let status = try await expect(.unknown, of: "UnaryCall") {
      let wanted = GrpcTestingEchoStatus(code: 2, message: message)
      _ = try await setting.service.unaryCall(GrpcTestingSimpleRequest(responseStatus: wanted))
    }
    try expect("the message", status.message, is: message)
  }

  @Sendable static func unimplementedMethod(_ setting: Setting) async throws {
    try await expect(.unimplemented, of: "UnimplementedCall") {
      _ = try await setting.service.unimplementedCall(GrpcTestingEmpty())
    }
  }

  @Sendable static func unimplementedService(_ setting: Setting) async throws {
    let service = GrpcTestingUnimplementedServiceClient(setting.client)
    try await expect(.unimplemented, of: "UnimplementedService") {
      _ = try await service.unimplementedCall(GrpcTestingEmpty())
    }
  }

  // MARK: - Metadata

  private static let initialKey = "x-grpc-test-echo-initial"
  private static let initialValue = "test_initial_metadata_value"
  private static let trailingKey = "x-grpc-test-echo-trailing-bin"
  private static let trailingValue: [UInt8] = [0xAB, 0xAB, 0xAB]

  @Sendable static func customMetadata(_ setting: Setting) async throws {
    var metadata: Metadata = [initialKey: initialValue]
    metadata.addBinary(trailingValue, for: trailingKey)
    let options = CallOptions(metadata: metadata)

    let answer = try await setting.client.unaryResponse(
      GrpcTestingTestServiceMethods.unaryCall, UnaryCases.largeRequest(), options)
    try UnaryCases.check(answer.message.payload, size: UnaryCases.largeResponseSize)
    try check("UnaryCall", answer.initialMetadata, answer.trailingMetadata)

    try await setting.service.fullDuplexCall(options) { requests, responses in
      let size = UnaryCases.largeResponseSize
      try await requests.write(StreamingCases.request(payload: UnaryCases.largeRequestSize, responses: [size]))
      requests.finish()
      for try await response in responses { try UnaryCases.check(response.payload, size: size) }
      try await check("FullDuplexCall", responses.initialMetadata, responses.trailingMetadata)
    }
  }

  private static func check(_ call: String, _ initial: Metadata, _ trailing: Metadata) throws {
    try expect("\(call)'s initial metadata", initial[initialKey], is: initialValue)
    try expect("\(call)'s trailing metadata", trailing.binary(trailingKey), is: trailingValue)
  }
}

import Messages
import RPC
import Stubs

enum UnaryCases {
  static let largeRequestSize = 271_828
  static let largeResponseSize = 314_159

  /// A request for a large response, itself large.
  static func largeRequest() -> GrpcTestingSimpleRequest {
    GrpcTestingSimpleRequest(responseSize: Int32(largeResponseSize), payload: zeros(largeRequestSize))
  }

  static func zeros(_ count: Int) -> GrpcTestingPayload {
    GrpcTestingPayload(body: [UInt8](repeating: 0, count: count))
  }

  /// The payload must be that many zeros.
  static func check(_ payload: GrpcTestingPayload?, size: Int) throws {
    try expect("the response's size", payload?.body.count, is: size)
    try expect(payload?.body.allSatisfy { $0 == 0 } == true, "the response holds other bytes than zeros")
  }

  @Sendable static func emptyUnary(_ setting: Setting) async throws {
    _ = try await setting.service.emptyCall(GrpcTestingEmpty())
  }

  @Sendable static func largeUnary(_ setting: Setting) async throws {
    let response = try await setting.service.unaryCall(largeRequest())
    try check(response.payload, size: largeResponseSize)
  }

  /// Every call reaches the server that the first one reached.
  @Sendable static func pickFirstUnary(_ setting: Setting) async throws {
    let request = GrpcTestingSimpleRequest(responseSize: 1, payload: zeros(1), fillServerId: true)
    var servers: Set<String> = []
    for _ in 0..<20 { servers.insert(try await setting.service.unaryCall(request).serverId) }
    try expect(servers.count == 1 && servers != [""], "the calls reached the servers \(servers.sorted())")
  }
}

/// The cases by name, and those that this client cannot run with the reason.
enum Cases {
  typealias Case = @Sendable (Setting) async throws -> Void

  static let all: [String: Case] = [
    "empty_unary": UnaryCases.emptyUnary,
    "large_unary": UnaryCases.largeUnary,
    "pick_first_unary": UnaryCases.pickFirstUnary,
    "client_streaming": StreamingCases.clientStreaming,
    "server_streaming": StreamingCases.serverStreaming,
    "ping_pong": StreamingCases.pingPong,
    "half_duplex": StreamingCases.halfDuplex,
    "empty_stream": StreamingCases.emptyStream,
    "timeout_on_sleeping_server": EndingCases.timeoutOnSleepingServer,
    "cancel_after_begin": EndingCases.cancelAfterBegin,
    "cancel_after_first_response": EndingCases.cancelAfterFirstResponse,
    "status_code_and_message": EndingCases.statusCodeAndMessage,
    "special_status_message": EndingCases.specialStatusMessage,
    "unimplemented_method": EndingCases.unimplementedMethod,
    "unimplemented_service": EndingCases.unimplementedService,
    "custom_metadata": EndingCases.customMetadata,
    "client_compressed_unary": CompressionCases.clientUnary,
    "server_compressed_unary": CompressionCases.serverUnary,
    "client_compressed_streaming": CompressionCases.clientStreaming,
    "server_compressed_streaming": CompressionCases.serverStreaming,
    "concurrent_large_unary": SoakCases.concurrentLargeUnary,
    "rpc_soak": SoakCases.rpcSoak,
    "channel_soak": SoakCases.channelSoak,
  ]

  private static let google = "it needs credentials that only Google's cloud gives"
  private static let load = "load reports to a balancer (ORCA) are not part of this runtime"

  static let refused: [String: String] = [
    "cacheable_unary": "it needs calls by GET and a caching proxy; calls are always made by POST",
    "compute_engine_creds": google,
    "jwt_token_creds": google,
    "oauth2_auth_token": google,
    "per_rpc_creds": google,
    "google_default_credentials": google,
    "compute_engine_channel_credentials": google,
    "orca_per_rpc": load,
    "orca_oob": load,
  ]
}

import Testing

@testable import RPC

/// gRPC's JSON of method configurations.
struct ServiceConfigTests {
  @Test func allOfIt() throws {
    let config = try ServiceConfig(
      json: """
        {
          "loadBalancingConfig": [{"round_robin": {}}],
          "methodConfig": [
            {
              "name": [{"service": "a.B"}, {"service": "a.C", "method": "D"}], "timeout": "1.5s", "waitForReady": true,
              "maxRequestMessageBytes": 10, "maxResponseMessageBytes": 20,
              "retryPolicy": {
                "maxAttempts": 7, "initialBackoff": ".1s", "maxBackoff": "1s", "backoffMultiplier": 1.6,
                "retryableStatusCodes": ["UNAVAILABLE", "aborted", 8]
              }
            },
            {"name": [{}], "hedgingPolicy": {"maxAttempts": 2, "nonFatalStatusCodes": [14]}},
            {"name": [{"service": "a.E"}], "hedgingPolicy": {"maxAttempts": 3, "hedgingDelay": "0.000000250s"}}
          ],
          "retryThrottling": {"maxTokens": 10, "tokenRatio": 0.1}
        }
        """)
    #expect(config.retryThrottling == (try RetryThrottling(maximumTokens: 10, tokenRatio: 0.1)))
    #expect(config.methods.count == 3)
    let first = config.methods[0]
    #expect(first.names == [.service("a.B"), .method("a.C/D")])
    #expect(first.timeout == .milliseconds(1500) && first.waitForReady)
    #expect(first.maximumRequestBytes == 10 && first.maximumResponseBytes == 20)
    let retry = try RetryPolicy(
      maximumAttempts: 5, initialBackoff: .milliseconds(100), maximumBackoff: .seconds(1), backoffMultiplier: 1.6,
      retryableCodes: [.unavailable, .aborted, .resourceExhausted])
    #expect(first.attempts == .retry(retry))
    #expect(config.methods[1].names == [.all])
    let atOnce = try HedgingPolicy(maximumAttempts: 2, hedgingDelay: .zero)
    #expect(config.methods[1].attempts == .hedge(atOnce))
    let delayed = try HedgingPolicy(maximumAttempts: 3, hedgingDelay: .nanoseconds(250), nonFatalCodes: [])
    #expect(config.methods[2].attempts == .hedge(delayed))
    #expect(try ServiceConfig(json: "{}").methods.isEmpty)
  }

  @Test(arguments: [
    "", "[]", #"{"methodConfig": 1}"#,
    #"{"methodConfig": [{"name": [{"method": "D"}]}]}"#,
    #"{"methodConfig": [{"name": [{"service": "a"}]}, {"name": [{"service": "a"}]}]}"#,
    #"{"methodConfig": [{"timeout": "1"}]}"#, #"{"methodConfig": [{"timeout": "s"}]}"#,
    #"{"methodConfig": [{"timeout": "1.s"}]}"#, #"{"methodConfig": [{"timeout": "1.0000000001s"}]}"#,
    #"{"methodConfig": [{"hedgingPolicy": {"maxAttempts": 1}}]}"#,
    #"{"methodConfig": [{"hedgingPolicy": {"maxAttempts": 2, "hedgingDelay": "-1s"}}]}"#,
    #"{"methodConfig": [{"hedgingPolicy": {"maxAttempts": 2, "nonFatalStatusCodes": ["BAD"]}}]}"#,
    #"{"methodConfig": [{"hedgingPolicy": {"maxAttempts": 2, "nonFatalStatusCodes": [17]}}]}"#,
    #"{"methodConfig": [{"retryPolicy": {"maxAttempts": 2}}]}"#,
    #"{"retryThrottling": {"maxTokens": 1001, "tokenRatio": 1}}"#, #"{"retryThrottling": {"maxTokens": 1}}"#,
  ])
  func whatIsNotAllowed(json: String) {
    #expect(throws: InvalidConfiguration.self) { try ServiceConfig(json: json) }
  }

  @Test func oneOfTwoPolicies() {
    let retry = #"{"maxAttempts":2,"initialBackoff":"1s","maxBackoff":"1s","backoffMultiplier":1,"#
      + #""retryableStatusCodes":[14]}"#
    #expect(throws: InvalidConfiguration("a method has a retryPolicy and a hedgingPolicy")) {
      try ServiceConfig(json: #"{"methodConfig":[{"retryPolicy":\#(retry),"hedgingPolicy":{"maxAttempts":2}}]}"#)
    }
  }
}

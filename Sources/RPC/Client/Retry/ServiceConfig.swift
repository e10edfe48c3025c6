import FoundationEssentials

/// gRPC's service config (`doc/service_config.md`, gRFC A6) from its JSON: method configurations and throttling. Fields
/// that mean nothing here, such as `loadBalancingConfig`, are passed over.
///
///     let config = try ServiceConfig(json: text)
///     options.methods = config.methods
///     options.retryThrottling = config.retryThrottling
public struct ServiceConfig: Sendable {
  public var methods: [MethodConfiguration]
  public var retryThrottling: RetryThrottling?

  /// - Throws: `InvalidConfiguration` for what is not JSON, or not allowed by the gRFC.
  public init(json: String) throws {
    do {
      self = try JSONDecoder().decode(Wire.self, from: Data(json.utf8)).config()
    } catch let error as DecodingError {
      throw InvalidConfiguration("not a service config: \(error)")
    }
  }

  private init(_ methods: [MethodConfiguration], _ throttling: RetryThrottling?) throws {
    var names: Set<MethodConfiguration.Name> = []
    for name in methods.flatMap(\.names) where !names.insert(name).inserted {
      throw InvalidConfiguration("\(name) is configured twice")
    }
    self.methods = methods
    retryThrottling = throttling
  }

  // MARK: - As it is written

  private struct Wire: Decodable {
    let methodConfig: [Method]?
    let retryThrottling: Throttling?

    func config() throws -> ServiceConfig {
      try ServiceConfig((methodConfig ?? []).map { try $0.configuration() }, retryThrottling?.throttling())
    }
  }

  private struct Method: Decodable {
    let name: [Name]?
    let timeout: Seconds?
    let waitForReady: Bool?
    let maxRequestMessageBytes: Int?
    let maxResponseMessageBytes: Int?
    let retryPolicy: Retry?
    let hedgingPolicy: Hedge?

    func configuration() throws -> MethodConfiguration {
      var result = MethodConfiguration(
        timeout: timeout?.duration, waitForReady: waitForReady ?? false,
        maximumRequestBytes: maxRequestMessageBytes, maximumResponseBytes: maxResponseMessageBytes)
      result.names = try (name ?? []).map { try $0.name() }
      switch (retryPolicy, hedgingPolicy) {
      case (nil, nil): break
      case (let retry?, nil): result.attempts = .retry(try retry.policy())
      case (nil, let hedge?): result.attempts = .hedge(try hedge.policy())
      default: throw InvalidConfiguration("a method has a retryPolicy and a hedgingPolicy")
      }
      return result
    }
  }

  private struct Name: Decodable {
    let service: String?
    let method: String?

    func name() throws -> MethodConfiguration.Name {
      switch (service ?? "", method ?? "") {
      case ("", ""): return .all
      case (let service, ""): return .service(service)
      case ("", let method): throw InvalidConfiguration("the method \(method) has no service")
      case (let service, let method): return .method("\(service)/\(method)")
      }
    }
  }

  private struct Retry: Decodable {
    let maxAttempts: Int
    let initialBackoff: Seconds
    let maxBackoff: Seconds
    let backoffMultiplier: Double
    let retryableStatusCodes: [Code]

    func policy() throws -> RetryPolicy {
      try RetryPolicy(
        maximumAttempts: maxAttempts, initialBackoff: initialBackoff.duration, maximumBackoff: maxBackoff.duration,
        backoffMultiplier: backoffMultiplier, retryableCodes: Set(retryableStatusCodes.map(\.code)))
    }
  }

  private struct Hedge: Decodable {
    let maxAttempts: Int
    let hedgingDelay: Seconds?
    let nonFatalStatusCodes: [Code]?

    func policy() throws -> HedgingPolicy {
      try HedgingPolicy(
        maximumAttempts: maxAttempts, hedgingDelay: hedgingDelay?.duration ?? .zero,
        nonFatalCodes: Set((nonFatalStatusCodes ?? []).map(\.code)))
    }
  }

  private struct Throttling: Decodable {
    let maxTokens: Int
    let tokenRatio: Double

    func throttling() throws -> RetryThrottling {
      try RetryThrottling(maximumTokens: maxTokens, tokenRatio: tokenRatio)
    }
  }

  /// `"UNAVAILABLE"`, `"unavailable"` or `14`.
  private struct Code: Decodable {
    let code: Status.Code

    init(from decoder: any Decoder) throws {
      let value = try decoder.singleValueContainer()
      if let number = try? value.decode(Int.self) {
        guard let code = Status.Code(rawValue: number) else {
          throw InvalidConfiguration("\(number) is no status code")
        }
        self.code = code
      } else {
        let name = try value.decode(String.self)
        guard let code = Status.Code(name: name.uppercased()) else {
          throw InvalidConfiguration("'\(name)' is no status code")
        }
        self.code = code
      }
    }
  }

  /// proto3's JSON form of a duration: `"1.5s"`, at most nine digits behind the point.
  private struct Seconds: Decodable {
    let duration: Duration

    init(from decoder: any Decoder) throws {
      let text = try decoder.singleValueContainer().decode(String.self)
      guard let duration = Self.parse(text) else { throw InvalidConfiguration("'\(text)' is no duration") }
      self.duration = duration
    }

    private static func parse(_ text: String) -> Duration? {
      guard text.hasSuffix("s"), text.utf8.count <= 24 else { return nil }
      let isNegative = text.hasPrefix("-")
      let parts = text.dropFirst(isNegative ? 1 : 0).dropLast()
        .split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
      let fraction = parts.count == 2 ? parts[1] : "0"
      guard parts[0].count <= 12, (1...9).contains(fraction.count), !(parts[0].isEmpty && parts.count == 1),
        (parts[0] + fraction).utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
        let nanoseconds = Int64(fraction + String(repeating: "0", count: 9 - fraction.count))
      else { return nil }
      let whole = Duration.seconds(Int64(parts[0]) ?? 0) + .nanoseconds(nanoseconds)
      return isNegative ? .zero - whole : whole
    }
  }
}

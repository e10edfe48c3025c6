import NIOCore

/// What the calls of one client share so that they can be repeated. Belongs to the client's loop.
///
/// `@unchecked Sendable`: all but the constants is only touched on the channel's loop.
final class RetryState: @unchecked Sendable {
  let channel: ClientChannel
  let budget: ReplayBudget
  var bucket: TokenBucket?

  init(channel: ClientChannel) {
    self.channel = channel
    budget = ReplayBudget(bytes: channel.options.replayBytesOfAllCalls)
    bucket = channel.options.retryThrottling.map { TokenBucket($0) }
  }

  /// For a call whose request is several messages. Nil where nothing is to be kept.
  func replayBuffer() -> ReplayBuffer? {
    let limit = channel.options.replayBytes
    return limit > 0 ? ReplayBuffer(limit: limit, budget: budget) : nil
  }

  /// The policy for a call; nil where it is to be sent once, or is too large to be kept.
  func policy(_ attempts: MethodConfiguration.Attempts, request: ByteBuffer?) -> AttemptPlan.Policy? {
    guard request?.readableBytes ?? 1 <= channel.options.replayBytes else { return nil }
    switch attempts {
    case .once: return nil
    case .retry(let policy): return .retry(policy)
    case .hedge(let policy): return .hedge(policy)
    }
  }

  /// Counts the calls that succeed, with a policy or without.
  var countsSuccesses: CallEnd? {
    guard bucket != nil else { return nil }
    return { if $0.code == .ok { self.bucket?.succeeded() } }
  }
}

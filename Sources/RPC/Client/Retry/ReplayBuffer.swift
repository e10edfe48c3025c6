import HTTP2
import NIOCore

/// Bytes that all calls of a client together may keep to send again. Belongs to the client's loop.
final class ReplayBudget {
  private(set) var left: Int

  init(bytes: Int) { left = bytes }

  func take(_ bytes: Int) -> Bool {
    guard bytes <= left else { return false }
    left -= bytes
    return true
  }

  func giveBack(_ bytes: Int) { left += bytes }
}

/// What a call has sent, as long as it may have to be sent again. `release` it in the end.
struct ReplayBuffer {
  private var frames: [ByteBuffer] = []
  /// Taken from the budget.
  private var kept = 0
  /// The request ends behind the last frame.
  var isEnded = false
  private let limit: Int
  private let budget: ReplayBudget

  init(limit: Int, budget: ReplayBudget) {
    self.limit = limit
    self.budget = budget
  }

  /// Keeps a framed message, in any case.
  /// - Returns: False once there is more than fits: the call can be sent once more, and then no longer.
  mutating func append(_ frame: ByteBuffer) -> Bool {
    frames.append(frame)
    let bytes = frame.readableBytes
    guard kept + bytes <= limit, budget.take(bytes) else { return false }
    kept += bytes
    return true
  }

  /// All of it, to be sent on a stream.
  func output() -> StreamOutput {
    let output = StreamOutput()
    for frame in frames { output.append(frame) }
    if isEnded { output.end() }
    return output
  }

  mutating func release() {
    budget.giveBack(kept)
    kept = 0
    frames = []
  }
}

import HTTP2
import NIOCore

/// A call that is one of several attempts, and the call that they are attempts of.
extension ClientCall {
  struct Attempt {
    let runner: AttemptRunner
    let number: Int
    /// How many that count were made before it.
    let previous: Int
  }

  /// A message that the caller has written, for an attempt that is under way.
  func append(_ frame: ByteBuffer) {
    guard stream != 0, let output else { return }
    output.append(frame)
    outputChanged()
  }

  /// The caller's call goes on with this attempt's stream.
  func adopt(_ other: ClientCall) {
    attempts = nil
    previousAttempts = other.attempt?.previous ?? 0
    (stream, connection, output) = (other.stream, other.connection, other.output)
    other.attempt = nil
    other.status = .cancelled
    other.stream = 0
    connection?.replace(stream, with: self)
    if hasRoom { outputDrained() } else { output?.drainMark = Self.highWater / 2 }
  }

  /// Nobody waits for this attempt any more.
  func abandonAttempt() {
    attempt = nil
    status = .cancelled
    leaveQueue()
    resetStream()
  }

  /// This attempt is over, and nothing came but this status.
  func finish(_ attempt: Attempt, _ status: Status, reset: Bool) {
    self.attempt = nil
    self.status = status
    leaveQueue()
    if reset { resetStream() }
    attempt.runner.ended(attempt.number, status)
  }
}

extension Status {
  static let refusedStream = Status(.unavailable, "the server refused the stream")
  static let moreThanOneResponse = Status(.internalError, "the server sent more than one response")
  static let cancelled = Status(.cancelled, "the call was cancelled")
}

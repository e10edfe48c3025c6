import Foundation
import UnixSignals

/// Why a process stops.
enum StopReason: Sendable {
  case signal(String)
  case parentEnded
  /// A part without which the service is none has failed.
  case failed(any Error)
}

/// Where the reasons to stop come together. The first one counts.
struct StopRequests: Sendable {
  private let stream: AsyncStream<StopReason>
  private let continuation: AsyncStream<StopReason>.Continuation

  init() {
    (stream, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(1))
  }

  func request(_ reason: StopReason) { continuation.yield(reason) }

  /// Waits for the first request. To be called once.
  func first() async -> StopReason {
    for await reason in stream { return reason }
    return .failed(CancellationError())
  }

  /// SIGTERM and SIGINT stop the process in order; a second one ends it at once, and so does a stop that takes longer
  /// than `limit`.
  func observeSignals(limit: Duration) async {
    let signals = await UnixSignalsSequence(trapping: .sigterm, .sigint)
    Task {
      var isStopping = false
      for await signal in signals {
        if isStopping { _exit(ExitCode.failure.rawValue) }
        isStopping = true
        request(.signal("\(signal)"))
        Task {
          try await Task.sleep(for: limit)
          StandardError.write("the process did not stop within \(limit) and is ended\n")
          _exit(ExitCode.failure.rawValue)
        }
      }
    }
  }

  /// Stops when standard input ends: the other end of the pipe is held by the process that started this one.
  func observeParent() {
    let thread = Thread {
      var byte: UInt8 = 0
      while true {
        let count = read(STDIN_FILENO, &byte, 1)
        if count == 0 || (count < 0 && errno != EINTR) { break }
      }
      request(.parentEnded)
    }
    thread.name = "parent-watch"
    thread.start()
  }
}

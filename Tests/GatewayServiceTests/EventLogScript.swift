import Messages
import RPC
import Stubs
import Synchronization

/// A progress service with a log in memory, and a record of what it was asked. Its watch misbehaves as a test wants.
final class EventLogScript: Sendable {
  let events: [ProgressEvent]
  private let subscriptions = Mutex<[UInt64]>([])

  /// - Parameter count: how many events; the last one ends the mission.
  init(mission: String, count: UInt64) {
    events = (1...count).map { number in
      let isLast = number == count
      return ProgressEvent(
        missionId: mission, sequence: number, type: isLast ? .stateChanged : .stepProgress, step: .execution,
        percent: Double(number) * 100 / Double(count), message: "event \(number)\nsecond line",
        state: isLast ? .succeeded : .running)
    }
  }

  /// The `after_sequence` of every watch so far.
  var asked: [UInt64] { subscriptions.withLock { $0 } }

  /// The number of this watch, from 0.
  func noteWatch(_ request: WatchEventsRequest) -> Int {
    subscriptions.withLock { asked in
      asked.append(request.afterSequence)
      return asked.count - 1
    }
  }

  func write(
    _ numbers: some Sequence<UInt64>, to responses: ResponseWriter<ProgressEvent>
  ) async throws {
    for number in numbers { try await responses.write(events[Int(number) - 1]) }
  }

  /// A service that behaves: replays, and ends after the last event.
  var progress: ScriptedProgress {
    var progress = ScriptedProgress()
    progress.onWatch = { request, responses in
      _ = self.noteWatch(request)
      guard request.afterSequence < UInt64(self.events.count) else { return }
      try await self.write(request.afterSequence + 1...UInt64(self.events.count), to: responses)
    }
    progress.onList = { request in
      let left = self.events.filter { $0.sequence > request.afterSequence }
      let part = Array(left.prefix(request.limit == 0 ? 1000 : Int(request.limit)))
      return ListEventsResponse(events: part, complete: part.count == left.count)
    }
    return progress
  }
}

/// What every client must have seen of a mission with `count` events.
func expectedIDs(_ range: ClosedRange<UInt64>) -> [String?] { range.map { "\($0)" } + [nil] }

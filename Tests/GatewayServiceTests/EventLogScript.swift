import Messages
import RPC
import Stubs
import Synchronization

@testable import GatewayService

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

  private func check(_ sequence: UInt64) throws {
    guard sequence <= events.count else { throw Status(.outOfRange, "its last one is \(events.count)") }
  }

  /// A service that behaves: replays, and ends after the last event.
  var progress: ScriptedProgress {
    var progress = ScriptedProgress()
    progress.onWatch = { request, responses in
      _ = self.noteWatch(request)
      try self.check(request.afterSequence)
      guard request.afterSequence < UInt64(self.events.count) else { return }
      try await self.write(request.afterSequence + 1...UInt64(self.events.count), to: responses)
    }
    progress.onList = { request in
      try self.check(request.afterSequence)
      let left = self.events.filter { $0.sequence > request.afterSequence }
      let part = Array(left.prefix(request.limit == 0 ? 1000 : Int(request.limit)))
      return ListEventsResponse(events: part, complete: part.count == left.count)
    }
    return progress
  }
}

/// A log of all missions in memory: three missions take turns, and every third position is missing, as where a filter
/// keeps events back.
final class AllEventsScript: Sendable {
  private struct State {
    var events: [PositionedEvent] = []
    var asked: [WatchAllEventsRequest] = []
    var listed = 0
  }

  private let state = Mutex(State())
  private let news = FeedSignal()
  /// How long each message is, in characters.
  private let size: Int
  /// How many positions a page looks at before it answers, whatever it found.
  private let lookedAt: UInt64
  /// The last of those that are not kept any more.
  private let pruned: UInt64
  /// Whether a watch from now on says where it begins.
  private let tellsPosition: Bool

  init(
    count: UInt64 = 0, size: Int = 20, lookedAt: UInt64 = .max / 2, pruned: UInt64 = 0, tellsPosition: Bool = false
  ) {
    self.tellsPosition = tellsPosition
    self.size = size
    self.lookedAt = lookedAt
    self.pruned = pruned
    add(count)
  }

  /// Stores `count` more.
  func add(_ count: UInt64) {
    state.withLock { state in
      for _ in 0..<count {
        let number = UInt64(state.events.count) + 1
        let event = ProgressEvent(
          missionId: "m\(number % 3)", sequence: (number + 2) / 3, type: .stepProgress, step: .execution,
          message: String(repeating: "x", count: size), state: .running)
        state.events.append(PositionedEvent(position: number + (number - 1) / 2, event: event))
      }
    }
    news.feedChanged()
  }

  var positions: [String] { state.withLock { $0.events.map { "\($0.position)" } } }
  var asked: [WatchAllEventsRequest] { state.withLock { $0.asked } }
  private var newest: UInt64 { state.withLock { $0.events.last?.position ?? 0 } }
  /// How many pages were asked for.
  var listed: Int { state.withLock { $0.listed } }

  private func after(_ position: UInt64) -> [PositionedEvent] {
    state.withLock { $0.events.filter { $0.position > position } }
  }

  /// One watch at a time follows what is added; its headers go out at once.
  var progress: ScriptedProgress {
    var progress = ScriptedProgress()
    progress.onWatchAll = { request, responses in
      let newest = self.state.withLock { state -> UInt64 in
        state.asked.append(request)
        return state.events.last?.position ?? 0
      }
      var last = newest
      if case .afterPosition(let position) = request.start { last = position }
      guard last <= newest else { throw Status(.outOfRange, "the newest one is \(newest)") }
      while true {
        self.news.rearm()
        if self.pruned > last, last > 0 {
          let gap = ProgressEvent(sequence: self.pruned, type: .gap)
          try await responses.write(PositionedEvent(position: last, event: gap))
        }
        for entry in self.after(last) {
          try await responses.write(entry)
          last = entry.position
        }
        try await self.news.wait()
      }
    }
    progress.headOfAll = { request in
      if case .afterPosition(let position) = request.start { return [ProgressClient.positionKey: "\(position)"] }
      return self.tellsPosition ? [ProgressClient.positionKey: "\(self.newest)"] : [:]
    }
    progress.onListAll = { request in
      self.state.withLock { $0.listed += 1 }
      let newest = self.newest
      guard request.afterPosition <= newest else { throw Status(.outOfRange, "the newest one is \(newest)") }
      let found = self.after(request.afterPosition)
      let end = min(request.afterPosition + self.lookedAt, found.last?.position ?? request.afterPosition)
      let limit = request.limit == 0 ? 1000 : Int(request.limit)
      let part = Array(found.prefix { $0.position <= end }.prefix(limit))
      let reached = part.count == limit ? part.last?.position ?? end : end
      return ListAllEventsResponse(
        events: part, position: reached, prunedPosition: self.pruned > request.afterPosition ? self.pruned : 0)
    }
    return progress
  }
}

/// What every client must have seen of a mission with `count` events.
func expectedIDs(_ range: ClosedRange<UInt64>) -> [String?] { range.map { "\($0)" } + [nil] }

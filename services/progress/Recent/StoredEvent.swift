import Messages
import RPC
import Stubs
import Synchronization

/// An event with its place in the order of all events. It is decoded once and encoded once, however many watch it.
final class StoredEvent: Sendable {
  private struct Frames {
    var alone: EncodedMessage<ProgressEvent>?
    var positioned: EncodedMessage<PositionedEvent>?
  }

  let position: UInt64
  let event: ProgressEvent
  /// The event as it is stored, and as it goes to watchers of its mission.
  let bytes: [UInt8]
  private let facts: SharedFacts
  private let frames = Mutex(Frames())

  init(position: UInt64, event: ProgressEvent, bytes: [UInt8], facts: SharedFacts) {
    self.position = position
    self.event = event
    self.bytes = bytes
    self.facts = facts
  }

  /// Throws `WireError` for bytes that are no event.
  convenience init(position: UInt64, bytes: [UInt8], facts: SharedFacts) throws {
    self.init(
      position: position, event: try ProgressEvent(wire: bytes), bytes: bytes, facts: facts)
  }

  var sequence: UInt64 { event.sequence }

  /// What its mission is told apart by.
  var missionFacts: MissionFacts { facts.value }

  var frame: EncodedMessage<ProgressEvent> {
    frames.withLock { frames in
      if let known = frames.alone { return known }
      let made = EncodedMessage<ProgressEvent>(wire: bytes)
      frames.alone = made
      return made
    }
  }

  /// Throws `Status` INTERNAL if it cannot be encoded.
  func positionedFrame() throws -> EncodedMessage<PositionedEvent> {
    try frames.withLock { frames in
      if let known = frames.positioned { return known }
      let made = try EncodedMessage(PositionedEvent(position: position, event: event), .protobuf)
      frames.positioned = made
      return made
    }
  }
}

/// The facts of a mission, shared by its events and decoded when somebody asks for them.
final class SharedFacts: Sendable {
  private enum Form {
    case stored([UInt8])
    case value(MissionFacts)
  }

  private let form: Mutex<Form>

  init(_ facts: MissionFacts) { form = Mutex(.value(facts)) }

  /// - Parameter stored: The wire form; nil where a mission has none.
  init(stored: [UInt8]?) { form = Mutex(stored.map { .stored($0) } ?? .value(MissionFacts())) }

  /// Without any if what is stored cannot be read: then no filter lets the mission through.
  var value: MissionFacts {
    form.withLock { form in
      switch form {
      case .value(let facts): return facts
      case .stored(let bytes):
        let facts = (try? MissionFacts(wire: bytes)) ?? MissionFacts()
        form = .value(facts)
        return facts
      }
    }
  }
}

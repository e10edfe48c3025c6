import Messages
import RPC
import ServiceKit

/// What is taken in from the outbox of the execution service.
extension ProgressService {
  /// The events of one change of a mission are one message; those of databases of earlier versions came one by one.
  var inboxTopics: [InboxTopic] {
    [
      InboxTopic("events", RecordEventsRequest.self) { [log] request, _, connection in
        for event in request.events { try Self.check(event) }
        try log.append(request.events, connection)
      },
      InboxTopic("progress", ProgressEvent.self) { [log] event, _, connection in
        try Self.check(event)
        try log.append([event], connection)
      },
    ]
  }

  /// Throws `Status` INVALID_ARGUMENT for what no event can be.
  static func check(_ event: ProgressEvent) throws {
    try requireID(event.missionId)
    guard (1...UInt64(Int64.max)).contains(event.sequence) else {
      throw Status(.invalidArgument, "\(event.sequence) is no sequence number; the first is 1")
    }
    guard event.time?.isValid ?? true else {
      throw Status(.invalidArgument, "the time of event \(event.sequence) is not within the years 1 to 9999")
    }
    guard (0...100).contains(event.percent) else {
      throw Status(.invalidArgument, "percent is \(event.percent); it must be 0 to 100")
    }
  }
}

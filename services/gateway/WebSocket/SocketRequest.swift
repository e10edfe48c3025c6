import Foundation
import Messages

/// What a client asks for in a text frame.
enum SocketRequest: Sendable {
  case subscribe(SocketSubscribe)
  case unsubscribe(id: String)
  case ping

  /// - Throws: `SocketRefusal`.
  init(_ text: [UInt8]) throws {
    let decoder = JSONDecoder()
    let message: Message
    do {
      message = try decoder.decode(Message.self, from: Data(text))
    } catch {
      let id = try? decoder.decode(Named.self, from: Data(text)).id
      throw SocketRefusal(id: id, error: .badRequest("The message is not a valid request: \(Self.reason(error))"))
    }
    switch message.op {
    case "subscribe": self = .subscribe(try SocketSubscribe(message))
    case "unsubscribe": self = .unsubscribe(id: try message.requiredID)
    case "ping": self = .ping
    default:
      throw SocketRefusal(
        id: message.id,
        error: .badRequest("op must be subscribe, unsubscribe or ping, not \"\(message.op.prefix(40))\"."))
    }
  }

  private static func reason(_ error: any Error) -> String {
    switch error as? DecodingError {
    case .typeMismatch(_, let context), .valueNotFound(_, let context), .keyNotFound(_, let context):
      let path = context.codingPath.map(\.stringValue).joined(separator: ".")
      return path.isEmpty ? "an object with \"op\" is expected." : "\(path) is of the wrong type."
    case .dataCorrupted(let context): return context.debugDescription
    default: return "it cannot be read."
    }
  }

  private struct Named: Decodable { let id: String }
}

/// An error that goes to the client; the connection stays.
struct SocketRefusal: Error, Sendable {
  /// The subscription it is about, if one.
  let id: String?
  let error: GatewayError
}

/// What is to be watched, and from where.
struct SocketSubscribe: Sendable {
  let id: String
  let key: FeedKey
  let start: FeedCursor
  let coalesceAfter: UInt32

  fileprivate init(_ message: Message) throws {
    let id = try message.requiredID
    self.id = id
    func refuse(_ text: String) -> SocketRefusal { SocketRefusal(id: id, error: .badRequest(text)) }
    coalesceAfter = message.coalesceAfter ?? 0
    guard message.all ?? false else {
      guard let mission = message.missionId, !mission.isEmpty, !mission.hasControlCharacters else {
        throw refuse("missionId or all has to say what to watch.")
      }
      guard message.fieldsOfAll.isEmpty else {
        throw refuse("\(message.fieldsOfAll.joined(separator: ", ")) can only be with all.")
      }
      key = .mission(mission)
      start = FeedCursor(number: message.afterSequence ?? 0)
      return
    }
    guard message.missionId == nil, message.afterSequence == nil else {
      throw refuse("all takes neither missionId nor afterSequence.")
    }
    guard !(message.fromNow ?? false) || message.afterPosition == nil else {
      throw refuse("fromNow and afterPosition contradict each other.")
    }
    do {
      key = .all(
        EventFilter(
          owner: message.owner ?? "", labels: message.labels ?? [:],
          states: try (message.states ?? []).map(missionState).canonical, recipe: message.recipe ?? ""))
    } catch let error as GatewayError {
      throw SocketRefusal(id: id, error: error)
    }
    start = message.fromNow ?? false ? .fromNow : FeedCursor(number: message.afterPosition ?? 0)
  }
}

/// The fields that any request may have.
private struct Message: Decodable {
  var op: String
  var id: String?
  var missionId: String?
  var afterSequence: UInt64?
  var coalesceAfter: UInt32?
  var all: Bool?
  var afterPosition: UInt64?
  var fromNow: Bool?
  var owner: String?
  var labels: [String: String]?
  var states: [String]?
  var recipe: String?

  /// One that is misspelt would silently ask for something else.
  init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: Field.self)
    if let unknown = fields.allKeys.first(where: { Known(stringValue: $0.stringValue) == nil }) {
      throw DecodingError.dataCorrupted(
        .init(codingPath: [], debugDescription: "there is no field \"\(unknown.stringValue.prefix(40))\"."))
    }
    let known = try decoder.container(keyedBy: Known.self)
    op = try known.decode(String.self, forKey: .op)
    id = try known.decodeIfPresent(String.self, forKey: .id)
    missionId = try known.decodeIfPresent(String.self, forKey: .missionId)
    afterSequence = try known.wholeNumber(.afterSequence, upTo: UInt64(Int64.max))
    coalesceAfter = try known.wholeNumber(.coalesceAfter, upTo: UInt64(UInt32.max)).map { UInt32($0) }
    all = try known.decodeIfPresent(Bool.self, forKey: .all)
    afterPosition = try known.wholeNumber(.afterPosition, upTo: UInt64(Int64.max))
    fromNow = try known.decodeIfPresent(Bool.self, forKey: .fromNow)
    owner = try known.decodeIfPresent(String.self, forKey: .owner)
    labels = try known.decodeIfPresent([String: String].self, forKey: .labels)
    states = try known.decodeIfPresent([String].self, forKey: .states)
    recipe = try known.decodeIfPresent(String.self, forKey: .recipe)
  }

  /// 1 to 64 characters.
  var requiredID: String {
    get throws {
      guard let id, (1...64).contains(id.count) else {
        throw SocketRefusal(id: nil, error: .badRequest("id must have 1 to 64 characters."))
      }
      return id
    }
  }

  var fieldsOfAll: [String] {
    let present = [
      ("afterPosition", afterPosition != nil), ("fromNow", fromNow != nil), ("owner", owner != nil),
      ("labels", labels != nil), ("states", states != nil), ("recipe", recipe != nil),
    ]
    return present.filter(\.1).map(\.0)
  }

  fileprivate enum Known: String, CodingKey {
    case op, id, missionId, afterSequence, coalesceAfter, all, afterPosition, fromNow, owner, labels, states, recipe
  }

  private struct Field: CodingKey {
    let stringValue: String
    var intValue: Int? { nil }
    init?(stringValue: String) { self.stringValue = stringValue }
    init?(intValue: Int) { nil }
  }
}

extension KeyedDecodingContainer where Key == Message.Known {
  /// A whole number: as ProtoJSON has it, a string of digits, or a number; nil where the field is not there.
  /// - Throws: `DecodingError` that names the field and what it takes.
  fileprivate func wholeNumber(_ field: Key, upTo most: UInt64) throws -> UInt64? {
    guard contains(field), try !decodeNil(forKey: field) else { return nil }
    let text = try? decode(String.self, forKey: field)
    let value = text.map { UInt64($0) } ?? (try? decode(UInt64.self, forKey: field))
    guard let value, value <= most else {
      throw DecodingError.dataCorrupted(
        .init(codingPath: codingPath, debugDescription: "\(field.rawValue) must be a whole number from 0 to \(most)."))
    }
    return value
  }
}

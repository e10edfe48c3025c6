import HTTP2

/// What a connection owes in time. Pure: it is told the time, in nanoseconds.
struct ConnectionHealth {
  enum Complaint: String {
    case slowHandshake = "no HTTP/2 preface and SETTINGS in time"
    case unacknowledged = "our SETTINGS were not acknowledged in time"
    case slowHeaders = "a header block was not finished in time"
    case stalledWrite = "the peer stopped reading, or reads too slowly"

    var code: ErrorCode { self == .unacknowledged ? .settingsTimeout : .enhanceYourCalm }
  }

  /// What a look at the connection shows.
  struct Vitals {
    var isInsideHeaders = false
    /// The peer has acknowledged our SETTINGS.
    var isAcknowledged = false
    /// Bytes that wait for the socket.
    var pending = 0
    /// Bytes of responses that have not been framed: they wait for the peer's windows, or for the socket.
    var held = 0
    /// Bytes that the peer has taken since the beginning.
    var taken = 0
  }

  /// Since when bytes wait, how many had been taken by then, and how many responses held then.
  private struct Stall {
    let since: Int64
    let taken: Int
    let held: Int
  }

  /// What waits must be taken within that many times `writeStallTimeout`.
  static let patience = 10

  private let handshakeTimeout: Int64
  private let stallTimeout: Int64
  private let holdTimeout: Int64
  private let minimumTaken: Int
  private let maximumHeld: Int
  private let opened: Int64
  private var headersSince: Int64?
  /// While bytes wait for the socket, or too many are held …
  private var blocked: Stall?
  /// … and while any are held.
  private var held: Stall?
  /// The peer's SETTINGS have come, so its preface has too.
  var hasSettings = false

  init(options: ServerOptions, now: Int64) {
    handshakeTimeout = options.handshakeTimeout.nanoseconds
    stallTimeout = options.writeStallTimeout.nanoseconds
    let (product, isEndless) = stallTimeout.multipliedReportingOverflow(by: Int64(Self.patience))
    holdTimeout = isEndless ? .max : product
    minimumTaken = Int(max(0, min(1e15, Double(options.minimumReadRate) * Double(stallTimeout) / 1e9)))
    maximumHeld = options.maximumBufferedBytes
    opened = now
  }

  mutating func check(_ vitals: Vitals, now: Int64) -> Complaint? {
    headersSince = vitals.isInsideHeaders ? headersSince ?? now : nil
    let isLate = now - opened >= handshakeTimeout
    if isLate, !hasSettings { return .slowHandshake }
    if isLate, !vitals.isAcknowledged { return .unacknowledged }
    if let headersSince, now - headersSince >= handshakeTimeout { return .slowHeaders }
    return isStalled(vitals, now: now) ? .stalledWrite : nil
  }

  /// The more a peer makes us hold, the faster it must take it: all of it within `patience` times the timeout, and over
  /// the limit its part of that within each timeout.
  private mutating func isStalled(_ vitals: Vitals, now: Int64) -> Bool {
    let isOver = vitals.held > maximumHeld
    let isBlocked = Self.isLate(
      &blocked, vitals, isWaiting: vitals.pending > 0 || isOver, now, after: stallTimeout
    ) { max(1, minimumTaken, isOver ? $0.held / Self.patience : 0) }
    let isHeld = Self.isLate(
      &held, vitals, isWaiting: vitals.held > 0, now, after: holdTimeout
    ) { max(1, $0.held) }
    return isBlocked || isHeld
  }

  private static func isLate(
    _ stall: inout Stall?, _ vitals: Vitals, isWaiting: Bool, _ now: Int64, after time: Int64,
    owes: (Stall) -> Int
  ) -> Bool {
    guard isWaiting else {
      stall = nil
      return false
    }
    let current = Stall(since: now, taken: vitals.taken, held: vitals.held)
    guard let known = stall else {
      stall = current
      return false
    }
    guard now - known.since >= time else { return false }
    stall = current
    return vitals.taken - known.taken < owes(known)
  }
}

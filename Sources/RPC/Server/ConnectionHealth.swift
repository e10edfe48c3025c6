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
    /// Bytes of responses that wait for the peer's windows.
    var held = 0
    /// Bytes that the peer has taken since the beginning.
    var taken = 0
  }

  private let handshakeTimeout: Int64
  private let stallTimeout: Int64
  private let minimumTaken: Int
  private let maximumHeld: Int
  private let opened: Int64
  private var headersSince: Int64?
  /// Since when bytes wait, and how many had been taken by then.
  private var blocked: (since: Int64, taken: Int)?
  /// The peer's SETTINGS have come, so its preface has too.
  var hasSettings = false

  init(options: ServerOptions, now: Int64) {
    handshakeTimeout = options.handshakeTimeout.nanoseconds
    stallTimeout = options.writeStallTimeout.nanoseconds
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

  private mutating func isStalled(_ vitals: Vitals, now: Int64) -> Bool {
    guard vitals.pending > 0 || vitals.held > maximumHeld else {
      blocked = nil
      return false
    }
    guard let (since, taken) = blocked else {
      blocked = (now, vitals.taken)
      return false
    }
    guard now - since >= stallTimeout else { return false }
    blocked = (now, vitals.taken)
    return vitals.taken - taken < max(1, minimumTaken)
  }
}

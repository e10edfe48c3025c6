import NIOCore

/// What nghttp2's callbacks write for their session to read.
///
/// It lies in memory of its own, which the callbacks get as a pointer: some twenty of them run for each call, and
/// reaching it through the class would count references and check for exclusive access each time, a tenth of what a
/// unary call costs. Access is exclusive because callbacks run only inside `Session.receive` and `Session.drain`, one
/// after another, and nobody holds an access while one of those runs.
struct SessionState: ~Copyable {
  let role: Session.Role
  let maximumHeaderBytes: Int
  let maximumHeaderFields: Int
  /// A header list over this is not answered any more.
  private let answeredHeaderBytes: Int

  var gate: FrameGate
  var events: [Event] = []
  var outputs = StreamTable<StreamOutput>()
  var endsToReport: Set<Int32> = []

  // The header block that is coming in.
  private var headers = HeaderCollector()
  private var headerBytes = 0
  private var headersAreOversized = false

  // The bytes that are coming in.
  var input = ByteBuffer()
  var inputBase: UnsafeRawPointer?
  var dataBytes = 0

  // The bytes that are going out, while `Session.drain` runs, and how many it asked for.
  var target = ByteBuffer()
  var targetLimit = 0
  var isTargetFull: Bool { target.readableBytes >= targetLimit }

  var provoked = 0
  var sentFrames = 0
  /// Bytes of DATA taken from outputs since the beginning.
  var framedBytes = 0
  var isAcknowledged = false
  var lastSentStream: Int32 = 0

  init(_ role: Session.Role, _ configuration: Session.Configuration) {
    self.role = role
    maximumHeaderBytes = configuration.maximumHeaderBytes
    maximumHeaderFields = configuration.maximumHeaderFields
    // Whatever the limit, an ordinary request is told of it.
    let (bytes, overflow) = max(4 * 1024, configuration.maximumHeaderBytes).multipliedReportingOverflow(by: 4)
    answeredHeaderBytes = overflow ? .max : bytes
    gate = FrameGate(prefaceBytes: role == .server ? 24 : 0)
  }

  mutating func report(_ event: Event) { events.append(event) }

  // MARK: - Header blocks

  mutating func beginHeaders() {
    headers.clear()
    headerBytes = 0
    headersAreOversized = false
  }

  /// - Returns: Whether the list can still be answered: one a little too long gets a gRPC answer, one four times too
  ///   long gets its stream reset.
  mutating func add(name: UnsafeBufferPointer<UInt8>, value: UnsafeBufferPointer<UInt8>) -> Bool {
    headerBytes += name.count + value.count + 32
    if headerBytes > maximumHeaderBytes || name.count > UInt16.max || headers.count >= maximumHeaderFields {
      headersAreOversized = true
      return headerBytes <= answeredHeaderBytes
    }
    headers.append(name: name, value: value)
    return true
  }

  mutating func endHeaders(stream: Int32, endStream: Bool, isFirst: Bool) {
    let event = Event.Headers(
      stream: stream, block: headers.takeBlock(), endStream: endStream, isFirst: isFirst,
      isOversized: headersAreOversized)
    if role == .server || !event.block.isInformational { gate.noteProgress() }
    events.append(.headers(event))
  }

  // MARK: - Data

  /// - Returns: False for data outside the input, which nghttp2 never hands over.
  mutating func add(data: UnsafeRawPointer, length: Int, stream: Int32) -> Bool {
    guard let inputBase else { return false }
    // nghttp2 hands DATA on without copying, so the chunk lies inside the input and can be a slice of it.
    let offset = input.readerIndex + (data - inputBase)
    guard let chunk = input.getSlice(at: offset, length: length) else { return false }
    dataBytes += length
    gate.noteProgress()
    events.append(.data(stream: stream, chunk))
    return true
  }

  // MARK: - Streams

  mutating func closed(stream: Int32, code: UInt32) {
    outputs.remove(stream)
    if !endsToReport.isEmpty { endsToReport.remove(stream) }
    events.append(.closed(stream: stream, code: code))
  }

  /// HEADERS or DATA went out.
  mutating func sent(stream: Int32, endStream: Bool) {
    sentFrames += 1
    if stream > lastSentStream { lastSentStream = stream }
    if endStream, !endsToReport.isEmpty, endsToReport.remove(stream) != nil { events.append(.endSent(stream: stream)) }
  }
}

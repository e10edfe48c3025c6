import CNghttp2
package import NIOCore

/// One HTTP/2 connection without its socket: bytes in → events out, requests in → bytes out.
///
/// A session belongs to one event loop and is not `Sendable`. nghttp2's callbacks only append events and count; the
/// owner acts on them after `receive` or `drain` has returned, because calling into nghttp2 from inside it crashes.
///
/// Ownership: nghttp2 gets a pointer to `state` and calls back only inside `receive` and `drain`; `deinit` frees both.
package final class Session {
  package enum Role: Sendable { case client, server }

  package struct Configuration: Sendable {
    /// Streams that the peer may have open at once: 1 … 2^32 − 1; what is outside counts as the nearest of these.
    package var maximumStreams = 100
    /// Received header list in bytes, each field counted as name + value + 32 (RFC 9113 §6.5.2).
    package var maximumHeaderBytes = 16 * 1024
    package var maximumHeaderFields = 100
    /// Bytes that the peer may send on one stream before we credit it: 1 … 2^31 − 1, as `maximumStreams`.
    package var streamWindow = 256 * 1024
    /// The same for the connection, in the same range, which is credited as soon as bytes arrive.
    package var connectionWindow = 1024 * 1024

    package init() {}
  }

  let handle: OpaquePointer
  package let role: Role

  /// What the callbacks write; freed in `deinit`.
  let state: UnsafeMutablePointer<SessionState>
  private var spareEvents: [Event] = []

  /// - Throws: `HTTP2Error` when nghttp2 has no memory.
  package init(_ role: Role, configuration: Configuration = Configuration()) throws {
    self.role = role

    var options: OpaquePointer?
    try check(nghttp2_option_new(&options))
    defer { nghttp2_option_del(options) }
    nghttp2_option_set_no_auto_window_update(options, 1)
    // Closed streams stay known, no more of them than may be open: frames for them are errors (RFC 9113 §5.1).
    // `FloodGuard` counts resets: nghttp2 would answer too many with INTERNAL_ERROR, and go on.
    nghttp2_option_set_stream_reset_rate_limit(options, 1 << 40, 1 << 30)

    // The state is made and set once the session exists, before anything can call back.
    var session: OpaquePointer?
    switch role {
    case .server: try check(nghttp2_session_server_new2(&session, Callbacks.shared.pointer, nil, options))
    case .client: try check(nghttp2_session_client_new2(&session, Callbacks.shared.pointer, nil, options))
    }
    guard let session else { throw HTTP2Error(code: NGHTTP2_ERR_NOMEM.rawValue, message: "no session") }
    handle = session
    state = .allocate(capacity: 1)
    state.initialize(to: SessionState(role, configuration))
    nghttp2_session_set_user_data(session, state)
    try submitSettings(configuration)
  }

  deinit {
    nghttp2_session_del(handle)
    state.deinitialize(count: 1)
    state.deallocate()
  }

  private func submitSettings(_ configuration: Configuration) throws {
    func entry(_ id: nghttp2_settings_id, _ value: Int) -> nghttp2_settings_entry {
      nghttp2_settings_entry(settings_id: Int32(id.rawValue), value: UInt32(clamping: value))
    }
    /// nghttp2 refuses what no window can be (RFC 9113 §6.9.1); with one of nothing a peer could send nothing, ever.
    func window(_ bytes: Int) -> Int32 { max(1, Int32(clamping: bytes)) }
    var entries = [
      entry(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, Int(window(configuration.streamWindow))),
      entry(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, configuration.maximumHeaderBytes),
    ]
    switch role {
    case .server:
      entries.append(entry(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, max(1, configuration.maximumStreams)))
    case .client: entries.append(entry(NGHTTP2_SETTINGS_ENABLE_PUSH, 0))
    }
    try check(nghttp2_submit_settings(handle, 0, entries, entries.count))
    try check(nghttp2_session_set_local_window_size(handle, 0, 0, window(configuration.connectionWindow)))
  }

  // MARK: - Bytes in

  /// Takes in bytes from the peer. What they meant is in `takeEvents()` afterwards.
  /// - Throws: `HTTP2Error` when the session is beyond repair; what `drain` still yields should be written, then the
  ///   connection closed.
  package func receive(_ bytes: ByteBuffer) throws {
    var rest = bytes
    if let header = state.pointee.gate.completeHeld(from: &rest) { try feed(header) }
    let length = state.pointee.gate.admit(rest)
    guard length > 0, let admitted = rest.readSlice(length: length) else { return }
    try feed(admitted)
  }

  private func feed(_ bytes: ByteBuffer) throws {
    state.pointee.input = bytes
    state.pointee.dataBytes = 0
    defer {
      state.pointee.input = ByteBuffer()
      state.pointee.inputBase = nil
    }
    let count = bytes.withUnsafeReadableBytes { raw -> Int in
      state.pointee.inputBase = raw.baseAddress
      return nghttp2_session_mem_recv(handle, raw.bindMemory(to: UInt8.self).baseAddress, raw.count)
    }
    guard count >= 0 else { throw failure(Int32(truncatingIfNeeded: count)) }
    // The connection's window is given back at once, so that one stream nobody reads cannot stop the others; each
    // stream's own window bounds what it can hold.
    let dataBytes = state.pointee.dataBytes
    if dataBytes > 0 { try check(nghttp2_session_consume_connection(handle, dataBytes)) }
  }

  /// The events since the last call. Give the array back with `recycle` to save its allocation.
  package func takeEvents() -> [Event] {
    let spare = spareEvents
    spareEvents = []
    defer { state.pointee.events = spare }
    return state.pointee.events
  }

  package func recycle(_ events: consuming [Event]) {
    events.removeAll(keepingCapacity: true)
    spareEvents = events
  }

  package func takeFrameCounts() -> FrameCounts { state.pointee.gate.takeCounts() }

  /// Resets sent because of what the peer did, since the last call.
  package func takeProvoked() -> Int {
    defer { state.pointee.provoked = 0 }
    return state.pointee.provoked
  }

  /// DATA and HEADERS frames that went out since the last call.
  package func takeSentFrames() -> Int {
    defer { state.pointee.sentFrames = 0 }
    return state.pointee.sentFrames
  }

  /// Bytes of all outputs that were framed since the beginning.
  package var framedBytes: Int { state.pointee.framedBytes }

  /// The peer has acknowledged our SETTINGS.
  package var isAcknowledged: Bool { state.pointee.isAcknowledged }

  /// The highest stream of which anything was handed over to be written.
  package var lastSentStream: Int32 { state.pointee.lastSentStream }

  /// Streams of which something is kept until they are closed: as many as are open at most.
  package var heldStreams: Int { max(state.pointee.outputs.count, state.pointee.endsToReport.count) }

  /// A header block has begun and is not complete.
  package var isInsideHeaders: Bool { state.pointee.gate.isInsideHeaders }

  // MARK: - Bytes out

  /// Appends what there is to send, as far as windows allow, until `buffer` holds about `limit` bytes.
  package func drain(into buffer: inout ByteBuffer, limit: Int) throws {
    // DATA is written there by `sendData`, everything else here.
    swap(&state.pointee.target, &buffer)
    defer { swap(&state.pointee.target, &buffer) }
    state.pointee.targetLimit = limit
    while !state.pointee.isTargetFull {
      var data: UnsafePointer<UInt8>?
      let count = nghttp2_session_mem_send(handle, &data)
      guard count > 0, let data else {
        if count < 0 { throw failure(Int32(truncatingIfNeeded: count)) }
        return
      }
      state.pointee.target.writeBytes(UnsafeRawBufferPointer(start: data, count: count))
    }
  }

  /// False when the session is over: everything was said, and nothing more is expected.
  package var isAlive: Bool {
    nghttp2_session_want_read(handle) != 0 || nghttp2_session_want_write(handle) != 0
  }
}

func check(_ code: Int32) throws {
  if code != 0 { throw failure(code) }
}

func failure(_ code: Int32) -> HTTP2Error {
  HTTP2Error(code: code, message: String(cString: nghttp2_strerror(code)))
}

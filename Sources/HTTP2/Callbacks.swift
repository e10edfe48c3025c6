import CNghttp2
import NIOCore

/// nghttp2's callbacks: each finds its session's state, appends an event or counts, and returns. None calls into
/// nghttp2, with the one exception that its manual makes (`nghttp2_submit_trailer` in a data source).
///
/// One table serves every session and lives as long as the process. `@unchecked Sendable`: nothing writes to it after
/// `init`, and nghttp2 copies it into each session.
final class Callbacks: @unchecked Sendable {
  static let shared = Callbacks()
  let pointer: OpaquePointer?

  private init() {
    var callbacks: OpaquePointer?
    // Fails only without memory; `nghttp2_session_server_new2` then fails on nil, and `Session.init` throws.
    _ = nghttp2_session_callbacks_new(&callbacks)
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, onBeginHeaders)
    nghttp2_session_callbacks_set_on_header_callback(callbacks, onHeader)
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, onFrame)
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, onData)
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, onClose)
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, onFrameSent)
    nghttp2_session_callbacks_set_send_data_callback(callbacks, sendData)
    pointer = callbacks
  }

  /// nghttp2 keeps the output unretained: `SessionState.outputs` holds it until the stream is closed.
  static func provider(_ output: StreamOutput) -> nghttp2_data_provider {
    nghttp2_data_provider(
      source: nghttp2_data_source(ptr: Unmanaged.passUnretained(output).toOpaque()), read_callback: readOutput)
  }
}

private func state(_ userData: UnsafeMutableRawPointer?) -> UnsafeMutablePointer<SessionState>? {
  userData?.assumingMemoryBound(to: SessionState.self)
}

/// Every frame begins with its header, so the union need not be copied to look at it.
private func head(_ frame: UnsafePointer<nghttp2_frame>) -> nghttp2_frame_hd {
  UnsafeRawPointer(frame).assumingMemoryBound(to: nghttp2_frame_hd.self).pointee
}

private func isType(_ head: nghttp2_frame_hd, _ type: nghttp2_frame_type) -> Bool {
  UInt32(head.type) == type.rawValue
}

private func has(_ head: nghttp2_frame_hd, _ flag: nghttp2_flag) -> Bool {
  UInt32(head.flags) & UInt32(flag.rawValue) != 0
}

// MARK: - Receiving

private let onBeginHeaders: nghttp2_on_begin_headers_callback = { _, _, userData in
  guard let state = state(userData) else { return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue }
  state.pointee.beginHeaders()
  return 0
}

private let onHeader: nghttp2_on_header_callback = { _, _, name, nameLength, value, valueLength, _, userData in
  guard let state = state(userData) else { return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue }
  let isTaken = state.pointee.add(
    name: UnsafeBufferPointer(start: name, count: nameLength),
    value: UnsafeBufferPointer(start: value, count: valueLength))
  return isTaken ? 0 : NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue
}

private let onFrame: nghttp2_on_frame_recv_callback = { _, frame, userData in
  guard let frame, let state = state(userData) else { return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue }
  let head = head(frame)
  switch nghttp2_frame_type(UInt32(head.type)) {
  case NGHTTP2_HEADERS:
    let category = UnsafeRawPointer(frame).assumingMemoryBound(to: nghttp2_headers.self).pointee.cat
    state.pointee.endHeaders(
      stream: head.stream_id, endStream: has(head, NGHTTP2_FLAG_END_STREAM), isFirst: category != NGHTTP2_HCAT_HEADERS)
  case NGHTTP2_DATA:
    if has(head, NGHTTP2_FLAG_END_STREAM) { state.pointee.report(.end(stream: head.stream_id)) }
  case NGHTTP2_SETTINGS:
    if has(head, NGHTTP2_FLAG_ACK) { state.pointee.isAcknowledged = true } else { state.pointee.report(.settings) }
  case NGHTTP2_PING:
    if has(head, NGHTTP2_FLAG_ACK) { state.pointee.report(.pong) }
  case NGHTTP2_GOAWAY:
    let goAway = frame.pointee.goaway
    let reason = UnsafeBufferPointer(start: goAway.opaque_data, count: min(goAway.opaque_data_len, 256))
    state.pointee.report(
      .goAway(
        last: goAway.last_stream_id, code: goAway.error_code, reason: String(decoding: reason, as: UTF8.self)))
  default: break
  }
  return 0
}

private let onData: nghttp2_on_data_chunk_recv_callback = { _, _, stream, data, length, userData in
  guard let data, let state = state(userData), state.pointee.add(data: data, length: length, stream: stream) else {
    return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue
  }
  return 0
}

private let onClose: nghttp2_on_stream_close_callback = { _, stream, code, userData in
  guard let state = state(userData) else { return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue }
  state.pointee.closed(stream: stream, code: code)
  return 0
}

// MARK: - Sending

private let onFrameSent: nghttp2_on_frame_send_callback = { _, frame, userData in
  guard let frame, let state = state(userData) else { return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue }
  let head = head(frame)
  if isType(head, NGHTTP2_RST_STREAM) {
    // Our own resets are NO_ERROR and CANCEL; any other code answers something the peer did wrong. A stream refused is
    // no mistake: before our SETTINGS arrive, an honest peer may open any number.
    switch ErrorCode(rawValue: frame.pointee.rst_stream.error_code) {
    case .noError, .cancel, .refusedStream: break
    default: state.pointee.provoked += 1
    }
  } else if isType(head, NGHTTP2_HEADERS) || isType(head, NGHTTP2_DATA) {
    state.pointee.sent(stream: head.stream_id, endStream: has(head, NGHTTP2_FLAG_END_STREAM))
  }
  return 0
}

/// Says how much the next DATA frame carries; `sendData`, which nghttp2 calls next, takes it.
private let readOutput: nghttp2_data_source_read_callback = { handle, stream, _, length, flags, source, userData in
  guard let flags, let pointer = source?.pointee.ptr, let state = state(userData) else {
    return Int(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue)
  }
  let output = Unmanaged<StreamOutput>.fromOpaque(pointer).takeUnretainedValue()
  let count = min(length, output.bufferedBytes)
  if count > 0 {
    flags.pointee |= UInt32(NGHTTP2_DATA_FLAG_NO_COPY.rawValue)
  } else if output.takeDrained() {
    state.pointee.report(.writable(stream: stream))
  }
  if output.bufferedBytes == count, output.isEnded {
    flags.pointee |= UInt32(NGHTTP2_DATA_FLAG_EOF.rawValue)
    if let trailers = output.trailers {
      flags.pointee |= UInt32(NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue)
      // The manual allows this one call here, and asks for it here: the stream's last DATA frame is known now.
      let code = trailers.withNameValues { nghttp2_submit_trailer(handle, stream, $0, $1) }
      if code != 0 { return Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue) }
    }
    return count
  }
  if count == 0 {
    output.isDeferred = true
    return Int(NGHTTP2_ERR_DEFERRED.rawValue)
  }
  return count
}

/// Writes a DATA frame straight to where `Session.drain` collects them: nghttp2 would copy its content once more. There
/// is no padding, which nghttp2 would have to be asked for.
private let sendData: nghttp2_send_data_callback = { _, frame, header, length, source, userData in
  guard let frame, let header, let pointer = source?.pointee.ptr, let state = state(userData) else {
    return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue
  }
  let output = Unmanaged<StreamOutput>.fromOpaque(pointer).takeUnretainedValue()
  // What `readOutput` promised is still there: nghttp2 calls nobody in between.
  guard output.bufferedBytes >= length else { return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue }
  state.pointee.target.writeBytes(UnsafeRawBufferPointer(start: header, count: FrameGate.headerBytes))
  output.move(length, to: &state.pointee.target)
  state.pointee.framedBytes += length
  if output.takeDrained() {
    state.pointee.report(.writable(stream: head(frame).stream_id))
  }
  return state.pointee.isTargetFull ? NGHTTP2_ERR_PAUSE.rawValue : 0
}

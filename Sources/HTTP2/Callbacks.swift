import CNghttp2
import NIOCore

/// nghttp2's callbacks: each finds its session, appends an event or counts, and returns. None calls into nghttp2, with
/// the one exception that its manual makes (`nghttp2_submit_trailer` in a data source).
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
    pointer = callbacks
  }

  /// nghttp2 keeps the output unretained: `Session.outputs` holds it until the stream is closed.
  static func provider(_ output: StreamOutput) -> nghttp2_data_provider {
    nghttp2_data_provider(
      source: nghttp2_data_source(ptr: Unmanaged.passUnretained(output).toOpaque()), read_callback: readOutput)
  }
}

private func session(_ userData: UnsafeMutableRawPointer?) -> Session? {
  userData.map { Unmanaged<Session>.fromOpaque($0).takeUnretainedValue() }
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
  guard let session = session(userData) else { return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue }
  session.headerBlock = HeaderBlock(reserving: 320)
  session.headerBytes = 0
  session.headersAreOversized = false
  return 0
}

private let onHeader: nghttp2_on_header_callback = { _, _, name, nameLength, value, valueLength, _, userData in
  guard let session = session(userData) else { return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue }
  let limit = session.configuration.maximumHeaderBytes
  session.headerBytes += nameLength + valueLength + 32
  if session.headerBytes > limit || session.headerBlock.count >= session.configuration.maximumHeaderFields {
    // A list a little too long still gets a gRPC answer; one four times too long gets its stream reset.
    session.headersAreOversized = true
    return session.headerBytes > 4 * limit ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue : 0
  }
  session.headerBlock.append(
    name: UnsafeBufferPointer(start: name, count: nameLength),
    value: UnsafeBufferPointer(start: value, count: valueLength))
  return 0
}

private let onFrame: nghttp2_on_frame_recv_callback = { _, frame, userData in
  guard let frame, let session = session(userData) else { return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue }
  let head = head(frame)
  switch nghttp2_frame_type(UInt32(head.type)) {
  case NGHTTP2_HEADERS:
    let category = UnsafeRawPointer(frame).assumingMemoryBound(to: nghttp2_headers.self).pointee.cat
    let headers = Event.Headers(
      stream: head.stream_id, block: session.headerBlock, endStream: has(head, NGHTTP2_FLAG_END_STREAM),
      isFirst: category != NGHTTP2_HCAT_HEADERS, isOversized: session.headersAreOversized)
    session.headerBlock = HeaderBlock()
    if session.role == .server || !headers.block.isInformational { session.noteProgress() }
    session.report(.headers(headers))
  case NGHTTP2_DATA:
    if has(head, NGHTTP2_FLAG_END_STREAM) { session.report(.end(stream: head.stream_id)) }
  case NGHTTP2_SETTINGS:
    if has(head, NGHTTP2_FLAG_ACK) { session.isAcknowledged = true } else { session.report(.settings) }
  case NGHTTP2_PING:
    if has(head, NGHTTP2_FLAG_ACK) { session.report(.pong) }
  case NGHTTP2_GOAWAY:
    let goAway = frame.pointee.goaway
    let reason = UnsafeBufferPointer(start: goAway.opaque_data, count: min(goAway.opaque_data_len, 256))
    session.report(
      .goAway(
        last: goAway.last_stream_id, code: goAway.error_code, reason: String(decoding: reason, as: UTF8.self)))
  default: break
  }
  return 0
}

private let onData: nghttp2_on_data_chunk_recv_callback = { _, _, stream, data, length, userData in
  guard let data, let session = session(userData), let base = session.inputBase else {
    return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue
  }
  // nghttp2 hands DATA on without copying, so the chunk lies inside the input and can be a slice of it.
  let offset = session.input.readerIndex + (UnsafeRawPointer(data) - base)
  guard let chunk = session.input.getSlice(at: offset, length: length) else {
    return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue
  }
  session.dataBytes += length
  session.noteProgress()
  session.report(.data(stream: stream, chunk))
  return 0
}

private let onClose: nghttp2_on_stream_close_callback = { _, stream, code, userData in
  guard let session = session(userData) else { return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue }
  session.outputs[stream] = nil
  if !session.endsToReport.isEmpty { session.endsToReport.remove(stream) }
  session.report(.closed(stream: stream, code: code))
  return 0
}

// MARK: - Sending

private let onFrameSent: nghttp2_on_frame_send_callback = { _, frame, userData in
  guard let frame, let session = session(userData) else { return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue }
  let head = head(frame)
  if isType(head, NGHTTP2_RST_STREAM) {
    // Our own resets are NO_ERROR and CANCEL; any other code answers something the peer did wrong. A stream refused is
    // no mistake: before our SETTINGS arrive, an honest peer may open any number.
    switch ErrorCode(rawValue: frame.pointee.rst_stream.error_code) {
    case .noError, .cancel, .refusedStream: break
    default: session.provoked += 1
    }
  } else if isType(head, NGHTTP2_HEADERS) || isType(head, NGHTTP2_DATA) {
    session.sentFrames += 1
    if head.stream_id > session.lastSentStream { session.lastSentStream = head.stream_id }
    if !session.endsToReport.isEmpty, has(head, NGHTTP2_FLAG_END_STREAM),
      session.endsToReport.remove(head.stream_id) != nil
    {
      session.report(.endSent(stream: head.stream_id))
    }
  }
  return 0
}

private let readOutput: nghttp2_data_source_read_callback = {
  handle, stream, target, length, flags, source, userData in
  guard let target, let flags, let pointer = source?.pointee.ptr, let session = session(userData) else {
    return Int(NGHTTP2_ERR_CALLBACK_FAILURE.rawValue)
  }
  let output = Unmanaged<StreamOutput>.fromOpaque(pointer).takeUnretainedValue()
  let count = output.read(into: UnsafeMutableRawBufferPointer(start: target, count: length))
  if output.takeDrained() { session.report(.writable(stream: stream)) }
  if output.bufferedBytes == 0, output.isEnded {
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

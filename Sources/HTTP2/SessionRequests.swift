import CNghttp2

/// What the owner asks of a session. Nothing is written before the next `drain`.
extension Session {
  /// Opens a stream.
  /// - Parameter output: The body; nil for a request that ends with its headers.
  /// - Returns: The stream's id.
  package func request(headers: HeaderBlock, output: StreamOutput?) throws -> Int32 {
    let stream = headers.withNameValues { fields, count in
      guard let output else { return nghttp2_submit_request(handle, nil, fields, count, nil, nil) }
      var provider = Callbacks.provider(output)
      return nghttp2_submit_request(handle, nil, fields, count, &provider, nil)
    }
    guard stream > 0 else { throw failure(stream) }
    if let output { state.pointee.outputs.insert(output, for: stream) }
    return stream
  }

  /// Answers a request, once. Without an output the stream ends with these headers.
  /// - Throws: `HTTP2Error` when the stream is gone: its `.closed` is among the events, or was.
  package func respond(stream: Int32, headers: HeaderBlock, output: StreamOutput?) throws {
    // nghttp2 would take the answer, and drop it without a word; what is kept for the stream would be so for good.
    guard isOpen(stream) else { throw failure(NGHTTP2_ERR_STREAM_CLOSED.rawValue) }
    // nghttp2 reads from the first output until the stream is closed: it must not be let go for another.
    guard state.pointee.outputs[stream] == nil else { throw failure(NGHTTP2_ERR_DATA_EXIST.rawValue) }
    let code = headers.withNameValues { fields, count in
      guard let output else { return nghttp2_submit_response(handle, stream, fields, count, nil) }
      var provider = Callbacks.provider(output)
      return nghttp2_submit_response(handle, stream, fields, count, &provider)
    }
    if code == 0, let output { state.pointee.outputs.insert(output, for: stream) }
    try check(code)
  }

  /// Tells nghttp2 that a stream's output has more (or has ended).
  package func resume(stream: Int32, output: StreamOutput) {
    guard output.isDeferred else { return }
    output.isDeferred = false
    // An error here means that the stream is gone already: its `.closed` says so.
    _ = nghttp2_session_resume_data(handle, stream)
  }

  package func reset(stream: Int32, code: ErrorCode) {
    _ = nghttp2_submit_rst_stream(handle, 0, stream, code.rawValue)
  }

  /// Gives a stream's window back for bytes that have been used up.
  package func consume(stream: Int32, bytes: Int) {
    _ = nghttp2_session_consume_stream(handle, stream, bytes)
  }

  /// Reports `.endSent` when the last frame of our half goes out.
  package func notifyEnd(stream: Int32) {
    if isOpen(stream) { state.pointee.endsToReport.insert(stream) }
  }

  /// False for a stream that was closed in the bytes whose events are being handled, too.
  private func isOpen(_ stream: Int32) -> Bool { nghttp2_session_get_stream_remote_close(handle, stream) >= 0 }

  /// Whether the peer could still send on this stream.
  package func isReceiving(stream: Int32) -> Bool { nghttp2_session_get_stream_remote_close(handle, stream) == 0 }

  /// Says that no new streams will be taken soon, without refusing those under way (RFC 9113 §6.8).
  package func submitShutdownNotice() { _ = nghttp2_submit_shutdown_notice(handle) }

  /// Refuses streams that have not arrived by now; those that have go on.
  package func submitGoAway(code: ErrorCode = .noError) {
    _ = nghttp2_submit_goaway(handle, 0, nghttp2_session_get_last_proc_stream_id(handle), code.rawValue, nil, 0)
  }

  /// Ends the session with GOAWAY. Without a reason, which nghttp2 cannot give there, it is no longer alive after the
  /// next `drain`. With one it takes no new streams, but those that are open keep it alive: the owner has to close the
  /// connection once that is written.
  package func terminate(code: ErrorCode, reason: String = "") {
    guard !reason.isEmpty else {
      _ = nghttp2_session_terminate_session(handle, code.rawValue)
      return
    }
    let bytes = Array(reason.utf8)
    let last = nghttp2_session_get_last_proc_stream_id(handle)
    _ = nghttp2_submit_goaway(handle, 0, last, code.rawValue, bytes, bytes.count)
  }

  package func submitPing() { _ = nghttp2_submit_ping(handle, 0, nil) }

  /// How many streams the peer lets us have open at once.
  package var peerMaximumStreams: Int {
    Int(nghttp2_session_get_remote_settings(handle, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS))
  }

  /// Whether another request can be made: false once a GOAWAY has come or ids have run out.
  package var canRequest: Bool { nghttp2_session_check_request_allowed(handle) != 0 }
}

extension HeaderBlock {
  /// Lends the fields in nghttp2's shape. nghttp2 copies what it keeps.
  func withNameValues<Result>(_ body: (UnsafePointer<nghttp2_nv>?, Int) -> Result) -> Result {
    bytes.withUnsafeBufferPointer { raw in
      withUnsafeTemporaryAllocation(of: nghttp2_nv.self, capacity: count) { fields in
        let base = UnsafeMutablePointer(mutating: raw.baseAddress)
        var index = 0
        for field in self {
          let pair = nghttp2_nv(
            name: base.map { $0 + field.name.lowerBound }, value: base.map { $0 + field.value.lowerBound },
            namelen: field.name.count, valuelen: field.value.count, flags: 0)
          (fields.baseAddress! + index).initialize(to: pair)
          index += 1
        }
        return body(UnsafePointer(fields.baseAddress), index)
      }
    }
  }
}

import CNghttp2
package import NIOCore

/// What a session saw in the bytes it was given, in the order of the wire.
package enum Event {
  /// A whole header block: a request, a response, or trailers.
  case headers(Headers)
  /// Body bytes. The buffer is a slice of what was received: copy it if it is kept for long.
  case data(stream: Int32, ByteBuffer)
  /// The peer has finished its half of the stream.
  case end(stream: Int32)
  /// The stream is gone. Any code but `noError` means that one side reset it.
  case closed(stream: Int32, code: UInt32)
  /// A stream's buffered output has fallen to its `drainMark`.
  case writable(stream: Int32)
  /// Our half's last frame has been handed over to be written (see `Session.notifyEnd`).
  case endSent(stream: Int32)
  /// The peer's SETTINGS arrived: from now on its limits are known.
  case settings
  /// The peer accepts no new streams; those of ours above `last` were not processed.
  case goAway(last: Int32, code: UInt32, reason: String)
  /// The answer to a PING of ours.
  case pong

  package struct Headers {
    package let stream: Int32
    package let block: HeaderBlock
    package let endStream: Bool
    /// False for what follows the first block of a stream: trailers, and a response behind a 1xx.
    package let isFirst: Bool
    /// The list was larger than the limit; `block` holds what came before that.
    package let isOversized: Bool
  }
}

/// The error codes of RFC 9113 §7.
package enum ErrorCode: UInt32, Sendable {
  case noError = 0
  case protocolError, internalError, flowControlError, settingsTimeout, streamClosed, frameSizeError
  case refusedStream, cancel, compressionError, connectError, enhanceYourCalm, inadequateSecurity, http11Required
}

/// A failure of the whole session: the connection cannot go on.
package struct HTTP2Error: Error, Sendable, Hashable, CustomStringConvertible {
  /// nghttp2's code, negative (`nghttp2_error`).
  package let code: Int32
  package let message: String

  package var description: String { "\(message) (nghttp2 \(code))" }

  /// What the peer is told: nghttp2 counts CONTINUATION frames, SETTINGS entries and unread answers itself.
  package var answer: ErrorCode {
    switch nghttp2_error(rawValue: code) {
    case NGHTTP2_ERR_TOO_MANY_CONTINUATIONS, NGHTTP2_ERR_FLOODED, NGHTTP2_ERR_TOO_MANY_SETTINGS: .enhanceYourCalm
    default: .protocolError
    }
  }
}

import NIOCore

/// What the server says besides events, each as a frame.
enum SocketAnswer {
  static let pong = SocketFrame.text(#"{"op":"pong"}"#)

  static func subscribed(_ id: String) -> ByteBuffer {
    SocketFrame.text("{\"op\":\"subscribed\",\"id\":\(jsonQuoted(id))}")
  }

  /// What follows up to and with `resumeAfter` is left out; or, with `pruned`, nothing but what is not kept any more of
  /// the events up to that position.
  static func gap(_ id: String, resumeAfter: UInt64, notKept pruned: UInt64? = nil) -> ByteBuffer {
    SocketFrame.text("{\"op\":\"gap\",\"id\":\(jsonQuoted(id)),\(gapFields(resumeAfter, notKept: pruned))}")
  }

  /// The mission has ended.
  static func end(_ id: String, last: UInt64) -> ByteBuffer {
    SocketFrame.text("{\"op\":\"end\",\"id\":\(jsonQuoted(id)),\"lastSequence\":\"\(last)\"}")
  }

  /// - Parameter id: The subscription it is about, which is over or never began; nil if it is about none.
  static func error(_ error: GatewayError, id: String?) -> ByteBuffer {
    let about = id.map { "\"id\":\(jsonQuoted($0))," } ?? ""
    return SocketFrame.text("{\"op\":\"error\",\(about)\(error.json.dropFirst())")
  }
}

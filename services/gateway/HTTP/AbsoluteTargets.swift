import NIOCore
import NIOHTTP1

/// Makes the host of a request like `GET http://host/path` the one that `HostGuard` judges. Such a target counts more
/// than the Host header (RFC 9112 §3.2.2), but Hummingbird's request keeps only its path.
final class AbsoluteTargets: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = NIOAny

  /// The target is whole only next to NIO's decoder, which is in front of where Hummingbird adds handlers.
  func handlerAdded(context: ChannelHandlerContext) {
    do {
      let pipeline = context.pipeline.syncOperations
      let decoder = try pipeline.handler(type: ByteToMessageHandler<HTTPRequestDecoder>.self)
      try pipeline.addHandler(TargetReader(), position: .after(decoder))
    } catch {
      // Nothing goes through unjudged.
      context.close(promise: nil)
    }
  }
}

private final class TargetReader: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias InboundOut = HTTPServerRequestPart

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    // Several Host headers, or none, are an error with any target, and left as they are.
    guard case .head(var head) = unwrapInboundIn(data), let host = targetHost(head.uri),
      head.headers["Host"].count == 1
    else { return context.fireChannelRead(data) }
    head.headers.replaceOrAdd(name: "Host", value: host)
    context.fireChannelRead(wrapInboundOut(.head(head)))
  }
}

/// The authority in an absolute target, without user and password; nil for a mere path.
func targetHost(_ target: String) -> String? {
  guard !target.hasPrefix("/"), let slashes = target.firstRange(of: "://") else { return nil }
  let authority = target[slashes.upperBound...].prefix { !"/?#".contains($0) }
  return String(authority.split(separator: "@", omittingEmptySubsequences: false).last ?? "")
}

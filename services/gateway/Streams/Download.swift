import Hummingbird
import Messages
import NIOCore
import RPC
import ServiceKit
import Stubs

/// An artifact's bytes on their way to the client, at the client's pace.
struct Download: Sendable {
  let artifact: Artifact
  let upstreams: Upstreams

  private var entityTag: String { "\"\(artifact.sha256)\"" }

  /// 200, 206 for a range, 304 if the client has these bytes already, 416 for a range outside.
  func response(to request: Request) async throws -> Response {
    if GatewayService.entityTag(entityTag, isIn: request.headers[.ifNoneMatch]) {
      return Response(status: .notModified, headers: [.eTag: entityTag, .cacheControl: "private, no-cache"])
    }
    switch range(request) {
    case .whole:
      return try await response(status: .ok, from: 0, count: artifact.size, request)
    case .part(let first, let last):
      var response = try await response(status: .partialContent, from: first, count: last - first + 1, request)
      response.headers[.contentRange] = "bytes \(first)-\(last)/\(artifact.size)"
      return response
    case .unsatisfiable:
      throw GatewayError(
        status: .rangeNotSatisfiable, code: Status.Code.outOfRange.name,
        message: "The artifact has \(artifact.size) bytes.", headers: [.contentRange: "bytes */\(artifact.size)"])
    }
  }

  /// If-Range (RFC 9110 §13.1.5): the range counts only if the client's part is of these very bytes.
  private func range(_ request: Request) -> ByteRange {
    if let condition = request.headers[.ifRange], condition != entityTag { return .whole }
    return .parse(request.headers[.range], size: artifact.size)
  }

  /// The headers keep a browser from taking what anyone uploaded for a page of this site.
  private var headers: HTTPFields {
    [
      .contentType: artifact.mediaType.isEmpty ? "application/octet-stream" : artifact.mediaType,
      .contentDisposition: attachmentDisposition(artifact.name), .acceptRanges: "bytes", .eTag: entityTag,
      .cacheControl: "private, no-cache", .contentSecurityPolicy: "sandbox; default-src 'none'",
    ]
  }
}

extension Download {
  /// The largest download at a modem's pace; a client that is slower has gone.
  private static let timeLimit: Duration = .seconds(3600)

  /// Opens the stream before answering, so that what the service refuses is still told with a status.
  private func response(
    status: HTTPResponse.Status, from offset: UInt64, count: UInt64, _ request: Request
  ) async throws -> Response {
    var headers = headers
    headers[.contentLength] = String(count)
    guard request.method != .head, count > 0 else { return Response(status: status, headers: headers) }
    let (stream, lease) = try await open(from: offset)
    let body = ResponseBody(contentLength: Int(count)) { writer in
      try await copy(stream, count: count, to: &writer)
      try await writer.finish(nil)
      withExtendedLifetime(lease) {}
    }
    return Response(status: status, headers: headers, body: body)
  }

  /// Opens the stream and reads the description in front of the bytes.
  private func open(
    from offset: UInt64
  ) async throws -> (ResponseStream<GetArtifactResponse>, StreamClients.Lease) {
    let lease = upstreams.artifactStreams.lease()
    let wanted = GetArtifactRequest(id: artifact.id, offset: offset)
    return try await upstreams.call(.artifact, extra: Self.timeLimit) { options in
      let stream = try await ArtifactsClient(lease.client).get(wanted, options)
      var first = stream.makeAsyncIterator()
      guard case .artifact(let opened) = try await first.next()?.part, opened.sha256 == artifact.sha256 else {
        throw Status(.internalError, "the artifact service did not say what it sends")
      }
      return (stream, lease)
    }
  }

  /// Writes `count` bytes of the stream. An error on the way leaves the body short of its Content-Length and closes the
  /// connection, so no client takes a part for the whole.
  private func copy(
    _ stream: ResponseStream<GetArtifactResponse>, count: UInt64, to writer: inout any ResponseBodyWriter
  ) async throws {
    var left = count
    for try await message in stream {
      guard case .chunk(let bytes) = message.part else { continue }
      let taken = bytes.prefix(Int(min(left, UInt64(bytes.count))))
      if !taken.isEmpty { try await writer.write(ByteBuffer(bytes: taken)) }
      left -= UInt64(taken.count)
      if left == 0 { return }
    }
    throw Status(.dataLoss, "the artifact service sent \(count - left) of \(count) bytes")
  }
}

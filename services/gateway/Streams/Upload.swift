import FoundationEssentials
import Hummingbird
import Messages
import NIOCore
import RPC
import ServiceKit
import Stubs
import Synchronization

/// A request's body on its way to the artifact service, piece by piece: neither side holds the file.
struct Upload: Sendable {
  /// The most bytes in one gRPC message.
  private static let chunkBytes = 256 * 1024
  /// Nobody's network needs longer than this for the largest upload allowed.
  private static let timeLimit: Duration = .seconds(3600)

  private let header: PutArtifactHeader
  private let announced: Int?
  private let limit: Int
  private let request: Request

  /// - Throws: `GatewayError` 400 without a name or with a malformed digest, 413 if more than `limit` bytes are
  ///   announced.
  init(_ request: Request, limit: Int) throws {
    // Only the last component: a path of the sender's machine says nothing here.
    let name = try request.query(["name"]).text("name")?.split(whereSeparator: { $0 == "/" || $0 == "\\" }).last
    guard let name else { throw GatewayError.badRequest("The query needs name=, the file's name.") }
    let announced = try request.contentLength
    if let announced, announced > limit { throw GatewayError.tooLarge(limit: limit) }
    header = PutArtifactHeader(
      name: String(name), mediaType: request.headers[.contentType] ?? "application/octet-stream",
      sha256: try Self.digest(request.headers))
    self.announced = announced
    self.limit = limit
    self.request = request
  }

  /// - Throws: `GatewayError` 413 over the limit, 400 for a body that ends early or does not match the digest.
  func send(to upstreams: Upstreams) async throws -> Artifact {
    // A refusal inside the producer resets the call, and must not come out as that call's status.
    let refusal = Mutex<(any Error)?>(nil)
    do {
      return try await put(to: upstreams) { error in refusal.withLock { $0 = error } }
    } catch {
      if let reason = refusal.withLock({ $0 }) { throw reason }
      throw meaning(of: error)
    }
  }

  private func put(
    to upstreams: Upstreams, onRefusal: @escaping @Sendable (any Error) -> Void
  ) async throws -> Artifact {
    let lease = upstreams.artifactStreams.lease()
    return try await upstreams.call(.artifact, extra: Self.timeLimit) { options in
      try await ArtifactsClient(lease.client).put(options) { writer in
        try await writer.write(PutArtifactRequest(part: .header(header)))
        var pieces = CheckedBody(request: request, limit: limit, announced: announced)
        while var piece = try await pieces.next(onRefusal) {
          while let chunk = piece.readBytes(length: min(piece.readableBytes, Self.chunkBytes)), !chunk.isEmpty {
            try await writer.write(PutArtifactRequest(part: .chunk(chunk)))
          }
        }
      }
    }
  }

  private func meaning(of error: any Error) -> any Error {
    guard let failure = error as? UpstreamFailure else { return error }
    switch failure.status.code {
    case .resourceExhausted:
      return GatewayError(
        status: .contentTooLarge, code: failure.status.code.name, message: failure.status.message, service: .artifact)
    case .dataLoss:
      return GatewayError(
        status: .badRequest, code: failure.status.code.name, message: failure.status.message, service: .artifact)
    default:
      return failure
    }
  }
}

// MARK: - Digest

extension Upload {
  /// The body's SHA-256 in lower-case hexadecimal, from X-Content-SHA256 (hexadecimal), Content-Digest (RFC 9530) or
  /// Digest (RFC 3230), both base64; empty if none is given.
  static func digest(_ headers: HTTPFields) throws -> String {
    if let text = headers[.contentSHA256]?.lowercased() {
      guard text.utf8.count == 64, text.allSatisfy(\.isHexDigit) else {
        throw GatewayError.badRequest("X-Content-SHA256 must have 64 hexadecimal digits.")
      }
      return text
    }
    guard let field = headers[.contentDigest] ?? headers[.digest] else { return "" }
    for entry in field.split(separator: ",") {
      let parts = entry.split(separator: "=", maxSplits: 1).map { String($0).trimmingSpaces }
      guard parts.count == 2, parts[0].lowercased() == "sha-256" else { continue }
      guard let bytes = Data(base64Encoded: parts[1].filter { $0 != ":" }), bytes.count == 32 else {
        throw GatewayError.badRequest("The sha-256 digest must be 32 bytes in base64.")
      }
      return bytes.hexadecimal
    }
    return ""
  }
}

/// A request's body that is no longer than allowed and as long as announced.
private struct CheckedBody {
  private let request: Request
  private let limit: Int
  private let announced: Int?
  private var pieces: RequestBody.AsyncIterator
  private var received = 0

  init(request: Request, limit: Int, announced: Int?) {
    self.request = request
    self.limit = limit
    self.announced = announced
    pieces = request.body.makeAsyncIterator()
  }

  /// The next piece; nil at the end. What it throws is told to `onRefusal` too.
  mutating func next(_ onRefusal: (any Error) -> Void) async throws -> ByteBuffer? {
    do {
      guard let piece = try await pieces.next() else {
        try request.checkComplete(received: received, announced: announced)
        return nil
      }
      received += piece.readableBytes
      if received > limit { throw GatewayError.tooLarge(limit: limit) }
      return piece
    } catch {
      onRefusal(error)
      throw error
    }
  }
}

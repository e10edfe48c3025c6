import Messages
import RPC
import ServiceKit
import Stubs

/// `buddy.artifact.v1.Artifacts` on the wire.
struct ArtifactsService: ArtifactsHandler {
  /// Bytes in one message of a download.
  static let chunkSize = 256 * 1_024
  /// The longest name and media type, in characters.
  static let maximumName = 255

  let store: ArtifactStore
  let maximumSize: Int

  func put(_ requests: RequestStream<PutArtifactRequest>, _ context: ServerContext) async throws -> Artifact {
    var iterator = requests.makeAsyncIterator()
    guard case .header(var header)? = try await iterator.next()?.part else {
      throw Status(.invalidArgument, "the first message must be the header")
    }
    header.name = try Self.fileName(header.name)
    if header.mediaType.isEmpty { header.mediaType = "application/octet-stream" }
    guard Self.isMediaType(header.mediaType) else {
      throw Status(.invalidArgument, "\"\(header.mediaType.prefix(100))\" is no media type")
    }
    return try await store.put(header, maximumSize: maximumSize) {
      guard let request = try await iterator.next() else { return nil }
      guard case .chunk(let bytes) = request.part else {
        throw Status(.invalidArgument, "only the first message may be the header; chunks follow")
      }
      return bytes
    }
  }

  func get(
    _ request: GetArtifactRequest, _ responses: ResponseWriter<GetArtifactResponse>, _ context: ServerContext
  ) async throws {
    let artifact = try await store.describe(request.id)
    guard request.offset <= artifact.size else {
      throw Status(.outOfRange, "offset \(request.offset) is beyond the artifact's \(artifact.size) bytes")
    }
    try await responses.write(GetArtifactResponse(part: .artifact(artifact)))
    try await store.read(artifact, from: request.offset, chunkSize: Self.chunkSize) { chunk in
      try await responses.write(GetArtifactResponse(part: .chunk(chunk)))
    }
  }

  func describe(_ request: DescribeArtifactRequest, _ context: ServerContext) async throws -> Artifact {
    try await store.describe(request.id)
  }

  func list(_ request: ListArtifactsRequest, _ context: ServerContext) async throws -> ListArtifactsResponse {
    let page = try Page(size: request.page?.size ?? 0, token: request.page?.token ?? "")
    let artifacts = try await store.list(missionID: request.missionId, before: page.after, limit: page.size + 1)
    let shown = try Page.fitting(artifacts.prefix(page.size))
    let next = artifacts.count > shown.count ? Page.token(after: shown.last?.id ?? "") : ""
    return ListArtifactsResponse(artifacts: shown, nextPageToken: next)
  }

  // MARK: -

  /// The name without folders. It is shown and used as a file name, so control characters and separators are refused.
  static func fileName(_ name: String) throws -> String {
    guard (1...maximumName).contains(name.count), name != ".", name != ".." else {
      throw Status(.invalidArgument, "an artifact's name has 1 to \(maximumName) characters")
    }
    let isSafe = name.unicodeScalars.allSatisfy { scalar in
      scalar != "/" && scalar != "\\" && scalar.properties.generalCategory != .control
        && scalar.properties.generalCategory != .format
    }
    guard isSafe else {
      throw Status(.invalidArgument, "an artifact's name must not hold slashes, backslashes or control characters")
    }
    return name
  }

  /// `type/subtype` with optional parameters, in the characters of RFC 9110, section 8.3.
  static func isMediaType(_ text: String) -> Bool {
    let type = text.prefix { $0 != ";" }.split(separator: "/", omittingEmptySubsequences: false)
    let token = { (part: Substring) in
      !part.isEmpty && part.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "!#$&^_.+-".contains($0)) }
    }
    let printable = text.utf8.allSatisfy { (0x20..<0x7F).contains($0) }
    return text.count <= maximumName && printable && type.count == 2 && type.allSatisfy(token)
  }
}

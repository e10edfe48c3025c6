import AsyncHTTPClient
import Foundation
import Messages
import NIOCore
import NIOHTTP1

extension GatewayClient {
  /// Streams a file to the artifact store and checks the digest of what arrived.
  /// - Parameter progress: called with the number of bytes read so far.
  func upload(_ file: InputFile, progress: @escaping @Sendable (UInt64) -> Void = { _ in }) async throws -> Artifact {
    let chunks = FileChunks(path: file.path, progress: progress)
    let bytes = try await bytes(
      .POST, ["artifacts"], query: [("name", file.name)],
      headers: ["content-type": MediaType.forFile(named: file.name)],
      body: .stream(chunks, length: .known(Int64(file.size))), streaming: true)
    let artifact = try WireJSON.decode(Artifact.self, from: bytes)
    guard artifact.sha256 == chunks.digest.hexadecimal else {
      throw CommandError(code: "DATA_LOSS", message: "\(file.path) did not arrive as it is; try again")
    }
    return artifact
  }

  func artifact(_ id: String) async throws -> Artifact { try await call(.GET, ["artifacts", id]) }

  /// Newest first; all, or those of one mission.
  func artifacts(mission: String?, limit: Int) async throws -> [Artifact] {
    var (artifacts, token) = ([Artifact](), "")
    repeat {
      var query = mission.map { [("mission_id", $0)] } ?? []
      query.append(("page_size", String(min(1000, limit - artifacts.count))))
      if !token.isEmpty { query.append(("page_token", token)) }
      let page = try await call(.GET, ["artifacts"], query: query, as: ListArtifactsResponse.self)
      artifacts += page.artifacts
      token = page.artifacts.isEmpty ? "" : page.nextPageToken
    } while artifacts.count < limit && !token.isEmpty
    return Array(artifacts.prefix(limit))
  }

  /// The bytes of an artifact from `offset` on.
  /// - Returns: the bytes' stream, and whether it really begins at `offset` (else it begins at 0).
  func content(_ id: String, from offset: UInt64) async throws -> (body: HTTPClientResponse.Body, resumed: Bool) {
    var headers: HTTPHeaders = ["accept": "*/*"]
    if offset > 0 { headers.add(name: "range", value: "bytes=\(offset)-") }
    let response = try await open(.GET, ["artifacts", id, "content"], headers: headers, streaming: true)
    return (response.body, response.status == .partialContent && offset > 0)
  }

  func tools() async throws -> ListToolsResponse { try await call(.GET, ["tools"]) }

  func budget() async throws -> Budget { try await call(.GET, ["budget"]) }

  func setBudget(_ limit: Money) async throws -> Budget {
    let body = HTTPClientRequest.Body.bytes(Array(try WireJSON.encode(SetBudgetRequest(limit: limit)).utf8))
    return try await call(.PUT, ["budget"], headers: Self.jsonHeaders, body: body)
  }
}

import Crypto
import Foundation
import Messages
import RPC
import ServiceKit
import Storage

/// Artifacts and their contents. A content is stored once however many artifacts have it: in the database up to
/// `inlineLimit`, else in a file.
struct ArtifactStore: Sendable {
  /// Up to this many bytes a content is a database row, which costs no file and no extra sync.
  static let inlineLimit = 128 * 1_024

  let database: Database
  let files: ContentFiles

  /// Stores the bytes that `next` brings until it returns nil, and answers with their artifact; the one stored earlier
  /// under the header's mission and key if there is one.
  ///
  /// Throws `Status` DATA_LOSS if the header's digest does not match, RESOURCE_EXHAUSTED above `maximumSize` bytes.
  func put(
    _ header: PutArtifactHeader, maximumSize: Int, next: () async throws -> [UInt8]?
  ) async throws -> Artifact {
    var content = IncomingContent(files: files)
    do {
      while let chunk = try await next() {
        guard content.size + chunk.count <= maximumSize else {
          throw Status(.resourceExhausted, "the artifact is larger than \(maximumSize) bytes")
        }
        try await content.append(chunk)
      }
      let sha256 = content.digest()
      guard header.sha256.isEmpty || header.sha256.lowercased() == sha256 else {
        throw Status(.dataLoss, "the bytes received have the SHA-256 \(sha256), not \(header.sha256)")
      }
      let inline = try await content.finish(as: sha256)
      let artifact = try await save(header, sha256: sha256, size: content.size, inline: inline)
      await content.end()
      return artifact
    } catch {
      await content.end()
      throw error
    }
  }

  func describe(_ id: String) async throws -> Artifact {
    guard let row = try await database.read({ try $0.first("SELECT * FROM artifacts WHERE id = $1", id) }) else {
      throw Status(.notFound, "no artifact \(id)")
    }
    return try Artifact(row: row)
  }

  /// Newest first; those older than the artifact `before` if that is not empty.
  func list(missionID: String, before: String, limit: Int) async throws -> [Artifact] {
    try await database.read { connection in
      try connection.rows(
        """
        SELECT * FROM artifacts WHERE ($1 = '' OR mission_id = $1) AND ($2 = '' OR id < $2) ORDER BY id DESC LIMIT $3
        """, missionID, before, limit
      ).map(Artifact.init(row:))
    }
  }

  /// Gives the bytes from `offset` on to `consume`, in chunks of at most `chunkSize`.
  ///
  /// A read from the beginning checks the digest; the last chunk is only given if it matches, else `Status` DATA_LOSS.
  func read(
    _ artifact: Artifact, from offset: UInt64, chunkSize: Int, consume: ([UInt8]) async throws -> Void
  ) async throws {
    let inline = try await database.read { connection in
      try connection.first("SELECT bytes FROM contents WHERE sha256 = $1", artifact.sha256)?.blobOrNil("bytes")
    }
    var hash = SHA256()
    var position = offset
    while position < artifact.size {
      let count = Int(min(UInt64(chunkSize), artifact.size - position))
      let chunk: [UInt8]
      if let inline {
        chunk = Array(inline.dropFirst(Int(position)).prefix(count))
      } else {
        chunk = try await files.read(artifact.sha256, offset: position, count: count)
      }
      hash.update(data: chunk)
      position += UInt64(chunk.count)
      let isLast = position == artifact.size
      guard chunk.count == count, !isLast || offset > 0 || hash.finalize().hexadecimal == artifact.sha256 else {
        throw Status(.dataLoss, "what is stored of artifact \(artifact.id) does not match its digest")
      }
      try await consume(chunk)
    }
  }

  // MARK: -

  private func save(
    _ header: PutArtifactHeader, sha256: String, size: Int, inline: [UInt8]?
  ) async throws -> Artifact {
    try await database.write { connection in
      let key = header.key.isEmpty ? nil : header.key
      if let key,
        let row = try connection.first(
          "SELECT * FROM artifacts WHERE mission_id = $1 AND put_key = $2", header.missionId, key)
      {
        return try Artifact(row: row)
      }
      try connection.execute(
        "INSERT INTO contents (sha256, size, bytes) VALUES ($1, $2, $3) ON CONFLICT (sha256) DO NOTHING",
        sha256, size, inline)
      let row = try connection.first(
        """
        INSERT INTO artifacts (id, name, media_type, sha256, size, mission_id, put_key, created_us)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8) RETURNING *
        """, Identifier.make(), header.name, header.mediaType, sha256, size, header.missionId, key, Date())
      guard let row else { throw Status(.internalError, "an artifact was stored and not returned") }
      return try Artifact(row: row)
    }
  }
}

/// Bytes on their way in: in memory while small, then in an unfinished file.
private struct IncomingContent {
  let files: ContentFiles
  private(set) var size = 0
  private var hash = SHA256()
  private var memory: [UInt8] = []
  private var file: ContentFiles.Unfinished?

  init(files: ContentFiles) { self.files = files }

  mutating func append(_ chunk: [UInt8]) async throws {
    size += chunk.count
    hash.update(data: chunk)
    if let file { return try await file.append(chunk) }
    memory += chunk
    guard memory.count > ArtifactStore.inlineLimit else { return }
    let file = try await files.begin()
    self.file = file
    try await file.append(memory)
    memory = []
  }

  func digest() -> String { hash.finalize().hexadecimal }

  /// Makes a file durable; gives the bytes if they are to be kept in the database.
  mutating func finish(as sha256: String) async throws -> [UInt8]? {
    guard let file else { return memory }
    try await file.keep(as: sha256)
    return nil
  }

  func end() async { await file?.end() }
}

extension Artifact {
  fileprivate init(row: Row) throws {
    self.init(
      id: try row.text("id"), name: try row.text("name"), mediaType: try row.text("media_type"),
      size: UInt64(try row.int64("size")), sha256: try row.text("sha256"), missionId: try row.text("mission_id"),
      createdAt: GoogleProtobufTimestamp(try row.date("created_us")))
  }
}

// MARK: - Metrics

extension ArtifactStore {
  @Sendable func samples() async throws -> [MetricSample] {
    let totals = try await database.read { connection in
      try connection.first("SELECT count(*) AS n, CAST(coalesce(sum(size), 0) AS BIGINT) AS bytes FROM artifacts")
        .map { (count: try $0.int("n"), bytes: try $0.int64("bytes")) }
    }
    return [
      MetricSample(BuddySeries.artifacts, Double(totals?.count ?? 0)),
      MetricSample(BuddySeries.artifactBytes, Double(totals?.bytes ?? 0)),
    ]
  }
}

import Messages
import RPC
import ServiceKit
import Stubs

/// The services that execution calls, and how it bears with them when they are down.
struct Peers: Sendable {
  /// What to do without a service that stays unreachable.
  enum Policy: String, CaseIterable, Sendable {
    /// Go on without it.
    case open
    /// Fail the mission.
    case closed
  }

  let artifacts: ArtifactsClient
  let investment: InvestmentClient
  let learning: LearningClient

  let withoutInvestment: Policy
  let withoutLearning: Policy
  /// How long a service may be unreachable before the policy applies.
  let patience: Duration
  /// How long a result waits for a service that has to store it; the mission's deadline may end it sooner.
  let resultPatience: Duration
  /// The deadline of one call.
  let callTimeout: Duration

  /// Calls until the service answers: one that cannot be reached, or has no space left, is called again, with growing
  /// pauses, until `patience` is over.
  func call<Answer>(
    patience: Duration? = nil, _ body: (CallOptions) async throws -> Answer
  ) async throws -> Answer {
    let end = Deadline.after(patience ?? self.patience)
    var pause = Duration.milliseconds(50)
    while true {
      do {
        return try await body(.timeout(callTimeout))
      } catch let status as Status where (status.code == .unavailable || status == .noSpaceLeft) && !end.isExpired {
        try await Task.sleep(for: min(pause, end.remaining))
        pause = min(pause * 2, .seconds(2))
      }
    }
  }

  /// As `call`, but nil where the service stays unreachable and the policy is to go on without it.
  func call<Answer>(without policy: Policy, _ body: (CallOptions) async throws -> Answer) async throws -> Answer? {
    do {
      return policy == .open ? try await body(.timeout(callTimeout)) : try await call(body)
    } catch let status as Status where policy == .open && [.unavailable, .deadlineExceeded].contains(status.code) {
      if Deadline.current?.isExpired == true { throw status }
      return nil
    }
  }

  /// Loads what the missions' inputs are.
  func describe(_ inputs: [MissionInput]) async throws -> [Artifact] {
    var described: [Artifact] = []
    for input in inputs {
      do {
        described.append(
          try await call { try await artifacts.describe(DescribeArtifactRequest(id: input.artifactId), $0) })
      } catch let status as Status where status.code == .notFound {
        throw StepFailure(
          "INPUT_NOT_FOUND", "the input \"\(input.name)\" names the artifact \(input.artifactId), which does not exist")
      }
    }
    return described
  }

  /// The bytes of an input, which must not be larger than `limit`.
  func download(_ input: MissionInput, limit: Int) async throws -> [UInt8] {
    guard input.size <= UInt64(limit) else {
      throw StepFailure(
        "INPUT_TOO_LARGE", "the input \"\(input.name)\" has \(input.size) bytes; the tool takes at most \(limit)")
    }
    return try await call { options in
      var bytes: [UInt8] = []
      bytes.reserveCapacity(Int(input.size))
      for try await part in try await artifacts.get(GetArtifactRequest(id: input.artifactId), options) {
        if case .chunk(let chunk) = part.part { bytes += chunk }
      }
      return bytes
    }
  }

  /// Stores an artifact; doing so again with the same mission and key makes no second one.
  func upload(_ content: StoredToolArtifact, missionID: String, key: String) async throws -> Artifact {
    let header = PutArtifactHeader(name: content.name, mediaType: content.mediaType, missionId: missionID, key: key)
    return try await call(patience: resultPatience) { options in
      try await artifacts.put(options) { writer in
        try await writer.write(PutArtifactRequest(part: .header(header)))
        for start in stride(from: 0, to: content.content.count, by: 256 * 1_024) {
          let chunk = Array(content.content[start..<min(start + 256 * 1_024, content.content.count)])
          try await writer.write(PutArtifactRequest(part: .chunk(chunk)))
        }
      }
    }
  }
}

import Foundation
import Synchronization

@testable import ExecutionService

extension ToolCall {
  /// A call with one CSV input at most.
  static func of(_ objective: String, csv: String? = nil, _ parameters: [String: String] = [:]) -> ToolCall {
    let inputs = csv.map { [ToolInput(name: "data.csv", mediaType: "text/csv", bytes: Array($0.utf8))] } ?? []
    return ToolCall(
      missionID: "m-1", objective: objective, parameters: parameters, inputs: inputs, idempotencyKey: "k-1")
  }
}

extension ToolOutput {
  func artifact(_ name: String) -> String? {
    artifacts.first { $0.name == name }.map { String(decoding: $0.bytes, as: UTF8.self) }
  }
}

/// Collects a tool's progress.
final class ProgressLog: Sendable {
  private let log = Mutex<[(Double, String)]>([])
  var entries: [(Double, String)] { log.withLock { $0 } }
  @Sendable func append(_ fraction: Double, _ message: String) async { log.withLock { $0.append((fraction, message)) } }
}

/// A JSON object, read by Foundation's parser, which is independent of the writer under test.
struct JSONFields {
  let members: [String: Any]

  init(_ bytes: [UInt8]) throws {
    members = try JSONSerialization.jsonObject(with: Data(bytes)) as? [String: Any] ?? [:]
  }

  private init(members: [String: Any]) { self.members = members }

  func string(_ name: String) -> String? { members[name] as? String }
  func int(_ name: String) -> Int? { members[name] as? Int }
  func array(_ name: String) -> [Any] { members[name] as? [Any] ?? [] }
  subscript(name: String) -> JSONFields { JSONFields(members: members[name] as? [String: Any] ?? [:]) }
}

/// A seeded generator, so that a failure can be run again.
struct SplitMix: RandomNumberGenerator {
  private var state: UInt64
  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  mutating func int(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &self) }
}

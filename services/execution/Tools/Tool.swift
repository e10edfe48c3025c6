import Messages
import Synchronization

/// What a tool tells about itself before it is chosen: shown to people, matched against intents, enforced as limits.
struct ToolDeclaration: Sendable {
  /// How much harm a wrong call could do; auto-approval depends on it.
  enum Risk: String, Sendable { case low, medium, high }

  /// Stable identifier, `snake_case`.
  let name: String
  /// One or two sentences for a person.
  let description: String
  /// JSON Schema (2020-12) of `ToolCall.parameters`.
  let inputSchema: String
  /// Intent name to base confidence, 0…1.
  let intents: [String: Double]
  /// Whether a call changes anything outside Buddy.
  let hasSideEffects: Bool
  /// Whether calling twice with the same idempotency key equals calling once.
  let isIdempotent: Bool
  let risk: Risk
  /// The longest one call may take.
  let timeLimit: Duration
  /// The most bytes all inputs of one call may have together, fetched ones included.
  let maximumInputBytes: Int
  /// The most bytes text and artifacts of one call may have together.
  let maximumOutputBytes: Int
  /// What it asks itself, where the price list has no price for it.
  var price: Price? = nil

  /// What one call costs and what each mebibyte of its inputs costs, in micro-units of the missions' currency.
  struct Price: Sendable, Hashable {
    var perCallMicros: Int64 = 0
    var perMebibyteMicros: Int64 = 0
  }

  /// Whether a call may be thrown away half way: nothing outside Buddy would tell.
  var canBeAbandoned: Bool { !hasSideEffects }
  /// Whether a call that has begun must never be begun again without asking.
  var mustNotRepeat: Bool { hasSideEffects && !isIdempotent }
}

/// A file handed to a tool.
struct ToolInput: Sendable {
  /// The name the objective may use, for example `sales.csv`.
  let name: String
  /// For example `text/csv`; empty if unknown.
  let mediaType: String
  let bytes: [UInt8]
}

/// One call of one tool.
struct ToolCall: Sendable {
  let missionID: String
  let objective: String
  /// Explicit parameters; they win over what is read from the objective.
  let parameters: [String: String]
  let inputs: [ToolInput]
  /// The same for every attempt of the same step, also after a crash; another one once the mission was changed.
  let idempotencyKey: String
  /// What people have answered to the questions that this tool has asked in earlier runs of the step.
  var answers: [AnsweredQuestion] = []
  /// Where a tool that produces its output bit by bit leaves what it has: kept if it is stopped or fails.
  var soFar = OutputSoFar()

  /// The parameter without surrounding white space; nil where absent or blank.
  func parameter(_ name: String) -> String? {
    guard let value = parameters[name]?.trimmedWhitespace, !value.isEmpty else { return nil }
    return value
  }
}

/// What a call came to.
struct ToolOutput: Sendable {
  /// What a person reads first; tables in it are aligned for a terminal. At most 64 KiB.
  let text: String
  let artifacts: [ToolArtifact]
  /// Bytes taken in, from inputs and from the network.
  let bytesRead: Int
}

/// The newest state of an output that is not complete yet.
final class OutputSoFar: Sendable {
  private let output = Mutex<ToolOutput?>(nil)

  var value: ToolOutput? { output.withLock { $0 } }

  func set(_ value: ToolOutput) { output.withLock { $0 = value } }
}

/// A file that a call produced.
struct ToolArtifact: Sendable {
  let name: String
  let mediaType: String
  let bytes: [UInt8]

  init(name: String, mediaType: String, bytes: [UInt8]) {
    self.name = name
    self.mediaType = mediaType
    self.bytes = bytes
  }

  init(name: String, mediaType: String, text: String) {
    self.init(name: name, mediaType: mediaType, bytes: Array(text.utf8))
  }
}

/// Why a call did not come to a result. `message` is one sentence for a person that says what to change.
struct ToolError: Error, Sendable, Hashable, CustomStringConvertible {
  /// Stable, `UPPER_SNAKE_CASE`, for example `UNKNOWN_COLUMN`.
  let code: String
  let message: String
  /// The same facts for programs, for example `["column": "regoin", "suggestion": "region"]`.
  let details: [String: String]

  init(_ code: String, _ message: String, details: [String: String] = [:]) {
    self.code = code
    self.message = message
    self.details = details
  }

  var description: String { "\(code): \(message)" }
}

/// A tool cannot go on without an answer. The step runs anew with it; see `ToolCall.answers`.
struct ToolQuestion: Error, Sendable, Hashable {
  /// The tool's own name for it, 1 to 100 characters; asked once in a mission.
  var id: String
  /// One or two sentences, ending in a question; 1 to 1,000 characters.
  var prompt: String
  var kind: AnswerKind
  /// Of CHOICE: 2 to 20 options of 1 to 200 characters.
  var options: [String] = []
}

/// Takes a tool's progress: a fraction 0…1 that never falls within one call, and what is being done, for a person.
typealias ToolProgress = @Sendable (_ fraction: Double, _ message: String) async -> Void

/// Something Buddy can run. Throws `ToolError`, `ToolQuestion`, or `CancellationError` within 100 ms of its task's
/// cancellation; one without side effects that takes longer is left to itself. When a tool with side effects has
/// returned or thrown, nothing of the call runs any more.
protocol Tool: Sendable {
  var declaration: ToolDeclaration { get }
  func run(_ call: ToolCall, progress: @escaping ToolProgress) async throws -> ToolOutput
}

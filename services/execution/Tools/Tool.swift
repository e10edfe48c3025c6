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
  /// The same for every attempt of the same step.
  let idempotencyKey: String

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

/// Takes a tool's progress: a fraction 0…1 that never falls within one call, and what is being done, for a person.
typealias ToolProgress = @Sendable (_ fraction: Double, _ message: String) async -> Void

/// Something Buddy can run. Throws `ToolError`, or `CancellationError` within 100 ms of its task's cancellation.
protocol Tool: Sendable {
  var declaration: ToolDeclaration { get }
  func run(_ call: ToolCall, progress: @escaping ToolProgress) async throws -> ToolOutput
}

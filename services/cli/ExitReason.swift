/// Every exit status of `buddy`, in one place. 64 and up follow sysexits(3).
enum ExitReason: Int32, CaseIterable, Sendable {
  case success = 0
  case failed = 1
  case refused = 2
  case usage = 64
  case damagedData = 65
  case notFound = 66
  case unavailable = 69
  case internalError = 70
  case cannotWrite = 73
  case tryAgain = 75
  case noPermission = 77
  case interrupted = 130

  var meaning: String {
    switch self {
    case .success: "done; a mission that was waited for succeeded"
    case .failed: "the mission failed, or the request does not fit its state; a certificate cannot be used"
    case .refused: "the mission was rejected or cancelled"
    case .usage: "wrong usage: an option, a value or an id"
    case .damagedData: "bytes do not match their digest"
    case .notFound: "an input file cannot be read; no such mission or artifact"
    case .unavailable: "the gateway or a service cannot be reached; a port is taken"
    case .internalError: "an unexpected answer or an internal error"
    case .cannotWrite: "an output file or the data folder cannot be written"
    case .tryAgain: "a deadline passed, or a limit is reached: try again later"
    case .noPermission: "permission denied"
    case .interrupted: "interrupted by Ctrl-C; a mission that was submitted goes on"
    }
  }

  /// For `buddy --help`.
  static var table: String {
    "EXIT STATUS:\n" + allCases.map { reason in
      let number = String(reason.rawValue)
      return "  \(String(repeating: " ", count: 3 - number.count))\(number)  \(reason.meaning)"
    }.joined(separator: "\n")
  }

  /// What a status of the gateway or of a service means for the caller of the command.
  /// Codes are those of gRPC in capitals; unknown ones are internal errors.
  static func forCode(_ code: String) -> ExitReason {
    switch code {
    case "OK": .success
    case "INVALID_ARGUMENT", "OUT_OF_RANGE": .usage
    case "NOT_FOUND": .notFound
    case "FAILED_PRECONDITION", "ALREADY_EXISTS": .failed
    case "CANCELLED": .refused
    case "UNAVAILABLE": .unavailable
    case "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED": .tryAgain
    case "DATA_LOSS": .damagedData
    case "PERMISSION_DENIED", "UNAUTHENTICATED": .noPermission
    default: .internalError
    }
  }
}

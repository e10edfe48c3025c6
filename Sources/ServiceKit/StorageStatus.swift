public import RPC
public import Storage

/// What a caller is told when the database fails: never its words, which hold SQL and paths. Those go to the log.
extension StorageError: StatusConvertible {
  public var status: Status {
    switch self {
    case .constraint(.unique, _), .constraint(.primaryKey, _): Status(.alreadyExists, "it exists already")
    case .diskFull: .noSpaceLeft
    case .busy: Status(.unavailable, "storage is busy, try again")
    case .unavailable: Status(.unavailable, "storage cannot be reached, try again")
    case .outcomeUnknown: Status(.unavailable, "storage broke off; whether this was stored is not known")
    case .closed: Status(.unavailable, "the service is stopping")
    case .value(let detail): Status(.invalidArgument, detail)
    default: Status(.internalError, "storage failed")
    }
  }
}

extension Status {
  /// A service's disk is full: what it was asked for can be done once there is space again.
  public static let noSpaceLeft = Status(.resourceExhausted, "the service has no space left to store this")
}

import CLibPQ

/// What the server answered a statement with.
struct PostgresError: Error {
  let state: String
  let message: String
  let table: String
  let column: String
  let constraint: String

  init(_ result: OpaquePointer?) {
    func field(_ code: Character) -> String {
      PQresultErrorField(result, Int32(code.asciiValue ?? 0)).map { String(cString: $0) } ?? ""
    }
    state = field("C")
    // The primary message alone: the detail holds the values of the row.
    let primary = field("M")
    message = primary.isEmpty ? (PQresultErrorMessage(result).map { String(cString: $0) } ?? "").trimmedLine : primary
    (table, column, constraint) = (field("t"), field("c"), field("n"))
  }

  /// The server ends the connection with it: a shutdown, a terminated backend, a transaction that was idle too long.
  var endsConnection: Bool { state.hasPrefix("57P") || ["25P03", "25P04"].contains(state) || isProtocolLoss }

  private var isProtocolLoss: Bool { state.hasPrefix("08") && state != "08P01" }
}

/// The connection is gone; with what the server said before, if it said anything.
struct ConnectionLost: Error {
  let detail: String
  /// The server ended the session while it waited for the next statement: what was sent then was never run.
  var wasIdle = false
}

extension StorageError {
  init(_ error: PostgresError, in sql: String? = nil) {
    let place = [error.table, error.column].filter { !$0.isEmpty }.joined(separator: ".")
    var detail = "\(error.message) [\(error.state)]" + (place.isEmpty ? "" : " (\(place))")
    if let sql { detail += " in: \(sql)" }
    switch error.state {
    case "53100": self = .diskFull(detail)
    case "25006", "42501": self = .readOnly(detail)
    // A lock or the statement took too long, a deadlock, a conflict between transactions, a statement prepared for the
    // tables of before a migration.
    case "57014", "40P01", "40001", "0A000": self = .busy(detail)
    case _ where error.state.hasPrefix("55"): self = .busy(detail)
    case "XX000": self = .io(detail)
    case "XX001", "XX002": self = .corrupt(detail)
    case "53300", "53400": self = .unavailable(detail)
    case "25P02": self = .sql("an earlier statement of this transaction failed; nothing can follow it: \(sql ?? "")")
    case _ where error.state.hasPrefix("23"): self = .constraint(Constraint(error), detail)
    case _ where error.state.hasPrefix("22") || error.state.hasPrefix("54"): self = .value(detail)
    case _ where error.state.hasPrefix("53") || error.state.hasPrefix("58"): self = .io(detail)
    default: self = error.endsConnection ? .unavailable(detail) : .sql(detail)
    }
  }
}

extension StorageError.Constraint {
  init(_ error: PostgresError) {
    switch error.state {
    // Both have one code; a primary key's constraint is named so unless a migration says otherwise.
    case "23505": self = error.constraint.hasSuffix("_pkey") ? .primaryKey : .unique
    case "23503": self = .foreignKey
    case "23502": self = .notNull
    case "23514": self = .check
    default: self = .other
    }
  }
}

import Crypto

/// What binds the entries of the audit log to each other, as proto/buddy/audit/v1/audit.proto defines it: for whoever
/// keeps the log, and for whoever checks a copy of it.
public enum AuditHash {
  /// In bytes.
  public static let size = SHA256.byteCount

  /// What stands before the first entry.
  public static let beforeFirst = [UInt8](repeating: 0, count: size)

  /// The hash of an entry.
  /// - Parameters:
  ///   - previous: the hash of the entry before.
  ///   - number: 1 for the first entry.
  ///   - event: a ProgressEvent in its wire form.
  public static func of(_ event: [UInt8], number: UInt64, after previous: [UInt8]) -> [UInt8] {
    var hash = SHA256()
    hash.update(data: previous)
    withUnsafeBytes(of: number.bigEndian) { hash.update(bufferPointer: $0) }
    hash.update(data: event)
    return Array(hash.finalize())
  }
}

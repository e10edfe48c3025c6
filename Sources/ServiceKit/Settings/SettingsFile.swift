import Foundation

/// A file's bytes, read once, with who else may touch it.
struct SettingsFile {
  let bytes: [UInt8]
  let isWritableByOthers: Bool
  let isReadableByOthers: Bool

  /// - Throws: ``SettingError`` with the path and the system's reason; never with what the file holds.
  init(_ path: String, atMost limit: Int) throws {
    // A named pipe that nobody writes would hold up an open that waits.
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
    guard descriptor >= 0 else { throw Self.error(path) }
    defer { close(descriptor) }
    guard let status = FileStatus(descriptor: descriptor) else { throw Self.error(path) }
    switch status.kind {
    case .regular: break
    case .folder: throw SettingError("\(path) cannot be read: it is a folder")
    case .pipe where Self.isNameless(descriptor): _ = fcntl(descriptor, F_SETFL, O_RDONLY)
    default: throw SettingError("\(path) cannot be read: it is no regular file")
    }
    isWritableByOthers = status.permissions & 0o002 != 0
    isReadableByOthers = status.permissions & 0o004 != 0
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 16_384)
    while true {
      let count = read(descriptor, &chunk, chunk.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw Self.error(path) }
      if count == 0 { break }
      bytes += chunk[..<count]
      guard bytes.count <= limit else { throw SettingError("\(path) is larger than \(limit / 1024) KiB") }
    }
    self.bytes = bytes
  }

  /// A shell's `<(…)`: a pipe between processes, which is nowhere, so nobody else can get at it.
  private static func isNameless(_ descriptor: Int32) -> Bool {
    let target = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\(descriptor)")
    return target?.hasPrefix("pipe:") == true
  }

  private static func error(_ path: String) -> SettingError {
    SettingError("\(path) cannot be read: \(String(cString: strerror(errno)).lowercased())")
  }
}

/// A secret in a file of its own, as container platforms hand them over. Who may read it is the platform's business:
/// theirs are readable for everybody inside the container.
enum SecretFile {
  /// In bytes.
  static let maximumSize = 64 * 1024

  /// The file's text without one line end at its end.
  static func read(_ path: String) throws -> String {
    var bytes = try SettingsFile(path, atMost: maximumSize).bytes
    if bytes.last == UInt8(ascii: "\n") {
      bytes.removeLast()
      if bytes.last == UInt8(ascii: "\r") { bytes.removeLast() }
    }
    guard !bytes.isEmpty else { throw SettingError("\(path) is empty, and should hold a secret") }
    guard let text = String(validating: bytes, as: UTF8.self) else { throw SettingError("\(path) is not UTF-8 text") }
    return text
  }
}

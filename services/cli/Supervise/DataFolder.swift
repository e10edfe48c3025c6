import ArgumentParser
import Foundation
import ServiceKit

/// The folder with everything Buddy keeps. Only one `buddy up` may use it at a time.
final class DataFolder: Sendable {
  let path: String
  private let lock: Int32

  private init(path: String, lock: Int32) {
    self.path = path
    self.lock = lock
  }

  /// The lock ends with the process; this is for tests and for an orderly end.
  deinit { close(lock) }

  /// Nothing where something was meant is refused: another installation's data must not be taken instead.
  static func check(_ option: String?, environment: [String: String] = ProcessInfo.processInfo.environment) throws {
    if option?.isEmpty == true { throw ValidationError("--data is empty") }
    if option == nil, environment["BUDDY_DATA"] == "" {
      throw ValidationError("BUDDY_DATA is empty; name a folder, or unset it for the usual one")
    }
  }

  /// Makes the folder where needed and takes it for this process.
  static func open(_ path: String) throws -> DataFolder {
    let absolute = URL(fileURLWithPath: path).standardizedFileURL.path
    if let problem = NewFolder.make("\(absolute)/logs") {
      throw CommandError(
        code: "DATA_FOLDER", message: "cannot make the data folder \(absolute): \(problem); name another with --data",
        exit: .cannotWrite)
    }
    return DataFolder(path: absolute, lock: try takeLock("\(absolute)/up.lock", folder: absolute))
  }

  private static func takeLock(_ path: String, folder: String) throws -> Int32 {
    let descriptor = Foundation.open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else {
      throw CommandError(
        code: "DATA_FOLDER", message: "cannot write \(path): \(String(cString: strerror(errno)).lowercased())",
        exit: .cannotWrite)
    }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      let holder = (try? String(contentsOfFile: path, encoding: .utf8))?.trimmingCharacters(in: .whitespacesAndNewlines)
      close(descriptor)
      throw CommandError(
        code: "DATA_FOLDER_IN_USE",
        message: "another `buddy up`\(holder.map { " (process \($0))" } ?? "") uses the data folder \(folder); "
          + "stop it, or name another folder with --data",
        exit: .unavailable)
    }
    let text = Array("\(getpid())\n".utf8)
    ftruncate(descriptor, 0)
    _ = text.withUnsafeBytes { pwrite(descriptor, $0.baseAddress, $0.count, 0) }
    return descriptor
  }

  /// Puts each service's last log aside, so that a new one begins; one old log is kept.
  func rotateLogs(_ names: [ServiceName]) {
    for name in names {
      let log = "\(path)/logs/\(name.rawValue).log"
      rename(log, "\(log).1")
    }
  }
}

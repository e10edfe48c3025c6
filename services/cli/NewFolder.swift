import Foundation

/// Making a folder, with a reason where that cannot be.
enum NewFolder {
  /// Makes it, for its owner alone, and those above it where they are not there.
  /// - Parameter path: Absolute.
  /// - Returns: Why that cannot be, for people; nil where the folder is there.
  static func make(_ path: String) -> String? {
    if isFolder(path) { return nil }
    let above = URL(fileURLWithPath: path).deletingLastPathComponent().path
    if above != path, let problem = make(above) { return problem }
    if mkdir(path, 0o700) == 0 { return nil }
    let code = errno
    guard code == EEXIST else { return "\(path): \(String(cString: strerror(code)).lowercased())" }
    // Another process may have made it at the same time.
    if isFolder(path) { return nil }
    return FileManager.default.fileExists(atPath: path) ? "\(path) is a file" : "\(path) is a link that leads nowhere"
  }

  private static func isFolder(_ path: String) -> Bool {
    var isFolder: ObjCBool = false
    return FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) && isFolder.boolValue
  }
}

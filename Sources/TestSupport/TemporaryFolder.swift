import Foundation

/// A folder of its own for a test, removed with everything in it when the last reference goes.
public final class TemporaryFolder: Sendable {
  public let path: String

  public init(_ name: String = "test") throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("buddy-\(name)-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    path = folder.path
  }

  deinit {
    try? FileManager.default.removeItem(atPath: path)
  }

  /// The path of a file inside; nothing is created.
  public func file(_ name: String) -> String { path + "/" + name }
}

// Foundation for both Glibc and Dispatch: `stat` is the member of whichever of their modules was built first.
import Foundation

/// What a file is and who may touch it. Unlike `FileManager`'s attributes also of a file that is open, however a name led
/// there.
public struct FileStatus: Sendable, Hashable {
  public enum Kind: Sendable, Hashable {
    case regular, folder, link, pipe, other
  }

  public let kind: Kind
  /// As chmod(2) takes them.
  public let permissions: Int

  /// Nil, with `errno`, where there is none.
  /// - Parameter followsLinks: Of a link it is the status of what it leads to.
  public init?(path: String, followsLinks: Bool = true) {
    var found = stat()
    guard (followsLinks ? stat(path, &found) : lstat(path, &found)) == 0 else { return nil }
    self.init(found)
  }

  /// Nil, with `errno`, where the descriptor is not open.
  public init?(descriptor: Int32) {
    var found = stat()
    guard fstat(descriptor, &found) == 0 else { return nil }
    self.init(found)
  }

  private init(_ found: stat) {
    kind =
      switch found.st_mode & S_IFMT {
      case S_IFREG: .regular
      case S_IFDIR: .folder
      case S_IFLNK: .link
      case S_IFIFO: .pipe
      default: .other
      }
    permissions = Int(found.st_mode & 0o7777)
  }
}

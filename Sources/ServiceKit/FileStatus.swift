import Glibc
import SystemPackage

/// What a file is and who may touch it. Unlike `FileManager`'s attributes also of a file that is open, however a name
/// led there.
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
    self.init { () throws(Errno) in try FilePath(path).stat(followTargetSymlink: followsLinks) }
  }

  /// Nil, with `errno`, where the descriptor is not open.
  public init?(descriptor: Int32) {
    self.init { () throws(Errno) in try FileDescriptor(rawValue: descriptor).stat() }
  }

  private init?(_ look: () throws(Errno) -> Stat) {
    let found: Stat
    do {
      found = try look()
    } catch {
      errno = error.rawValue
      return nil
    }
    kind =
      switch found.type {
      case .regular: .regular
      case .directory: .folder
      case .symbolicLink: .link
      case .fifo: .pipe
      default: .other
      }
    permissions = Int(found.permissions.rawValue)
  }
}

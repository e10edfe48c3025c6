import Glibc
import NIOCore
import NIOPosix

extension BoundAddress {
  /// The path of the socket, where the server listens on one.
  public var unixSocketPath: String? { host.hasPrefix("unix:") ? String(host.dropFirst(5)) : nil }
}

extension Server {
  /// Begins to listen on a Unix domain socket. Handlers see `unix` as their peer. The file is removed at `shutdown`.
  ///
  /// The file of a server that is gone is replaced; where one answers, it is left alone.
  /// - Parameters:
  ///   - path: At most 107 bytes, in a folder that exists.
  ///   - mode: Who may connect: by default only processes of this user.
  /// - Throws: `BindError`.
  public func start(unixSocket path: String, mode: UInt32 = 0o600) async throws -> BoundAddress {
    let address = BoundAddress(host: "unix:\(path)", port: 0)
    let listening = try UnixListener(path: path, mode: mode, address: address)
    return try await listen(at: address) { bootstrap in
      do {
        let channel = try await bootstrap.withBoundSocket(listening.descriptor).get()
        channel.closeFuture.whenComplete { _ in listening.removeFile() }
        return channel
      } catch {
        listening.removeFile()
        throw error
      }
    }
  }
}

/// A socket bound to a file, not yet listening: until it does nobody can connect, whatever the umask makes of the file.
struct UnixListener: Sendable {
  let descriptor: Int32
  private let path: String
  private let device: dev_t
  private let inode: ino_t

  /// - Throws: `BindError`.
  init(path: String, mode: UInt32, address: BoundAddress) throws {
    func failure(_ code: Int32) -> BindError { BindError(code, at: address) }
    self.path = path
    try Self.removeStale(path, failure)
    descriptor = try Self.bound(to: path, failure)
    var information = stat()
    guard chmod(path, mode) == 0, lstat(path, &information) == 0 else {
      let code = errno
      Glibc.close(descriptor)
      throw failure(code)
    }
    (device, inode) = (information.st_dev, information.st_ino)
  }

  /// Removes the file, if it is still this socket's.
  func removeFile() {
    var information = stat()
    guard lstat(path, &information) == 0, information.st_dev == device, information.st_ino == inode else { return }
    unlink(path)
  }

  private static func bound(to path: String, _ failure: (Int32) -> BindError) throws -> Int32 {
    let descriptor = try newSocket(failure)
    guard call(bind, descriptor, path) == 0 else {
      let code = errno
      Glibc.close(descriptor)
      throw failure(code)
    }
    return descriptor
  }

  private static func newSocket(_ failure: (Int32) -> BindError) throws -> Int32 {
    let type = Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue)
    let descriptor = socket(AF_UNIX, type, 0)
    guard descriptor >= 0 else { throw failure(errno) }
    return descriptor
  }

  /// Removes a socket that nobody listens on. What is no socket is not touched: to bind there fails.
  private static func removeStale(_ path: String, _ failure: (Int32) -> BindError) throws {
    var information = stat()
    guard lstat(path, &information) == 0, information.st_mode & S_IFMT == S_IFSOCK else { return }
    let probe = try newSocket(failure)
    defer { Glibc.close(probe) }
    if call(connect, probe, path) != 0, errno == ECONNREFUSED { unlink(path) }
  }

  /// `bind` or `connect` to a path. Fails with ENAMETOOLONG where it does not fit.
  private static func call(
    _ function: (Int32, UnsafePointer<sockaddr>?, socklen_t) -> Int32, _ descriptor: Int32, _ path: String
  ) -> Int32 {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let fits = withUnsafeMutableBytes(of: &address.sun_path) { target in
      guard path.utf8.count < target.count, !path.isEmpty, !path.utf8.contains(0) else { return false }
      target.copyBytes(from: path.utf8)
      return true
    }
    guard fits else {
      errno = ENAMETOOLONG
      return -1
    }
    return withUnsafePointer(to: &address) { pointer in
      pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        function(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
  }
}

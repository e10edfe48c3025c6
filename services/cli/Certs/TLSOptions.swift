import ArgumentParser
import Foundation
import RPC
import ServiceKit

/// Where certificates are, for commands that start services or talk to them directly.
struct TLSOptions: ParsableArguments {
  @Option(help: ArgumentHelp("""
    What `buddy certs init` made: services speak mutual TLS with each other (default: BUDDY_TLS_FOLDER, else no TLS).
    """, valueName: "folder"))
  var tlsFolder: String?

  func validate() throws {
    try check(environment: ProcessInfo.processInfo.environment)
  }

  /// Nothing where something was meant is refused: going on in plain text would not be safe.
  func check(environment: [String: String]) throws {
    if tlsFolder?.isEmpty == true { throw ValidationError("--tls-folder is empty") }
    if tlsFolder == nil, environment["BUDDY_TLS_FOLDER"] == "" {
      throw ValidationError("BUDDY_TLS_FOLDER is empty; name a folder, or unset it for plain text")
    }
  }

  /// Nil: plain text.
  func folder(environment: [String: String] = ProcessInfo.processInfo.environment) -> TLSFolder? {
    let path = tlsFolder ?? environment["BUDDY_TLS_FOLDER"] ?? ""
    return path.isEmpty ? nil : TLSFolder(URL(fileURLWithPath: path).standardizedFileURL.path)
  }
}

extension TLSFolder {
  /// How the command itself talks to a service. Throws status 66 for files that cannot be used.
  func commandClient(of peer: ServiceName) throws -> ClientTLS {
    try explained { () throws(TLSFileError) in try client(Self.command, of: peer) }
  }

  /// Throws status 66 where a service could not start with these files: each would say so by itself, over and over.
  func check(_ names: [ServiceName]) throws {
    for name in names {
      _ = try explained { () throws(TLSFileError) in try server(name) }
    }
  }

  private func explained<Result>(_ body: () throws(TLSFileError) -> Result) throws -> Result {
    do {
      return try body()
    } catch {
      throw CommandError(
        code: "CERTIFICATES",
        message: "\(error); `buddy certs show --folder \(path)` tells what does not fit, `buddy certs init` and "
          + "`buddy certs renew` make what is needed",
        exit: .notFound)
    }
  }
}

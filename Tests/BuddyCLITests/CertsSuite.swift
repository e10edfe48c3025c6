import ArgumentParser
import TestSupport
import Testing

@testable import BuddyCLI

/// What tests of `buddy certs` begin with: a folder that is not there yet, and the command.
protocol CertsSuite {
  var temporary: TemporaryFolder { get }
}

extension CertsSuite {
  var folder: String { temporary.file("certs") }

  /// `buddy certs` with these arguments.
  /// - Parameter folder: Nil for the suite's own.
  func certs(_ arguments: String..., in folder: String? = nil) async throws {
    var command = try #require(
      try Buddy.parseAsRoot(["certs", arguments[0], "--folder", folder ?? self.folder] + arguments.dropFirst())
        as? any AsyncParsableCommand)
    try await command.run()
  }
}

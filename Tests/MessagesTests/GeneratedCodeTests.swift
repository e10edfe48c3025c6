import Foundation
import Testing

/// What generated services are like to read.
@Suite struct GeneratedCodeTests {
  private static let folder = URL(fileURLWithPath: #filePath)
    .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("Sources/Stubs/Generated")

  private static let files: [String] = {
    let names = try? FileManager.default.contentsOfDirectory(atPath: folder.path)
    return (names ?? []).filter { $0.hasSuffix(".swift") && $0 != "Descriptors.swift" }.sorted()
  }()

  private func lines(_ name: String) throws -> [Substring] {
    let text = try String(contentsOf: Self.folder.appendingPathComponent(name), encoding: .utf8)
    return text.split(separator: "\n", omittingEmptySubsequences: false)
  }

  @Test func servicesAreThere() { #expect(Self.files.count >= 15) }

  @Test(arguments: files) func atMost60LinesAMethod(name: String) throws {
    let lines = try lines(name)
    let methods = lines.count { $0.contains("public static let") && $0.contains("= Method<") }
    #expect(methods > 0)
    #expect(lines.count <= 60 * methods, "\(lines.count) lines for \(methods) methods")
  }

  @Test(arguments: files) func codeFitsInto120Columns(name: String) throws {
    for line in try lines(name) where !line.drop(while: { $0 == " " }).hasPrefix("//") {
      #expect(line.count <= 120, "\(line)")
    }
  }
}

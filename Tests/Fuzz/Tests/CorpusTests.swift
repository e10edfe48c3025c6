import Foundation
import Testing

/// What fuzzers found worth keeping, fed once more: inputs that reach different code, and every one that ever crashed.
@Suite struct CorpusTests {
  @Test(arguments: FuzzTarget.allCases)
  func theCorpusBreaksNothing(_ target: FuzzTarget) throws {
    let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../corpus/\(target.rawValue)")
    let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
    #expect(names.count > 5)
    for name in names {
      let input = try Data(contentsOf: folder.appending(path: name))
      #expect(throws: Never.self, "\(target.rawValue)/\(name)") { try target.run([UInt8](input)) }
    }
  }
}

/// Files by their names and by the names that they declare.
struct DescriptorIndex: Sendable {
  private let files: [DescriptorFile]
  private let byName: [String: Int]
  private let bySymbol: [String: Int]
  private let messages: Set<String>

  /// - Parameter files: Where two have the same name, or declare the same, the first counts.
  init(_ files: [DescriptorFile]) {
    self.files = files
    byName = Dictionary(files.enumerated().map { ($1.name, $0) }) { first, _ in first }
    bySymbol = Dictionary(
      files.enumerated().flatMap { index, file in file.symbols.map { ($0, index) } }) { first, _ in first }
    messages = Set(files.flatMap(\.messages))
  }

  func file(named name: String) -> Int? { byName[name] }

  func file(declaring symbol: String) -> Int? { bySymbol[symbol] }

  func isMessage(_ name: String) -> Bool { messages.contains(name) }

  /// The file and all that it imports, directly or not, the file first.
  /// - Parameter sent: Imports that a caller has already; those of the result are added. The file itself comes again.
  func closure(of file: Int, without sent: inout Set<Int>) -> [[UInt8]] {
    var result: [[UInt8]] = [files[file].bytes]
    sent.insert(file)
    var seen: Set<Int> = [file]
    var queue = [file]
    while let next = queue.popLast() {
      for found in files[next].imports.compactMap({ byName[$0] }) where seen.insert(found).inserted {
        queue.append(found)
        if sent.insert(found).inserted { result.append(files[found].bytes) }
      }
    }
    return result
  }
}

import Foundation

/// A file that a mission is to work on, checked before anything is sent.
struct InputFile: Sendable, Hashable {
  let path: String
  /// The name the objective may use: the file's own, without folders.
  let name: String
  /// In bytes, when it was looked at.
  let size: UInt64

  /// Throws with status 66 for what is missing, unreadable or no file.
  init(path: String) throws {
    guard access(path, R_OK) == 0 else { throw Self.unreadable(path, errno) }
    let file = URL(fileURLWithPath: path).resolvingSymlinksInPath().path
    let found = (try? FileManager.default.attributesOfItem(atPath: file)) ?? [:]
    switch found[.type] as? FileAttributeType {
    case .typeRegular: break
    case .typeDirectory: throw Self.unusable(path, "it is a folder")
    default: throw Self.unusable(path, "it is not a regular file")
    }
    self.path = path
    name = URL(fileURLWithPath: path).lastPathComponent
    size = (found[.size] as? NSNumber)?.uint64Value ?? 0
  }

  /// All of them, or the first problem. Two files of one name are refused: the objective could not tell them apart.
  static func all(_ paths: [String]) throws -> [InputFile] {
    let files = try paths.map(InputFile.init(path:))
    for (index, file) in files.enumerated() where files[..<index].contains(where: { $0.name == file.name }) {
      throw CommandError.usage("two input files are called \(file.name); rename one of them")
    }
    return files
  }

  static func unreadable(_ path: String, _ code: Int32) -> CommandError {
    unusable(path, String(cString: strerror(code)).lowercased())
  }

  private static func unusable(_ path: String, _ reason: String) -> CommandError {
    CommandError(code: "INPUT_FILE", message: "cannot read \(path): \(reason)", exit: .notFound)
  }
}

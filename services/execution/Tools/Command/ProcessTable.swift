import Foundation

/// The processes of this machine as `/proc` shows them. Blocks.
enum ProcessTable {
  /// What the kernel says of a process.
  struct Entry {
    let state: UInt8
    let parent: pid_t
    let session: pid_t
    /// When it has begun, in clock ticks since the machine did.
    let start: UInt64

    var hasEnded: Bool { state == UInt8(ascii: "Z") || state == UInt8(ascii: "X") }
  }

  static func ids() -> [pid_t] {
    guard let folder = opendir("/proc") else { return [] }
    defer { closedir(folder) }
    var found: [pid_t] = []
    while let entry = readdir(folder) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
        String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if let id = pid_t(name) { found.append(id) }
    }
    return found
  }

  /// Nil for a process that is not there.
  static func entry(of id: pid_t) -> Entry? {
    var buffer = [CChar](repeating: 0, count: 1_024)
    let count = read("/proc/\(id)/stat", &buffer)
    let bytes = buffer[..<count].map { UInt8(bitPattern: $0) }
    // The program's name, in parentheses, may hold anything.
    guard let end = bytes.lastIndex(of: UInt8(ascii: ")")) else { return nil }
    let fields = bytes[(end + 1)...].split(separator: 0x20).map { String(decoding: $0, as: UTF8.self) }
    guard fields.count > 19, let state = fields[0].utf8.first, let parent = pid_t(fields[1]),
      let session = pid_t(fields[3]), let start = UInt64(fields[19])
    else { return nil }
    return Entry(state: state, parent: parent, session: session, start: start)
  }

  /// Nil for a process that is not there.
  static func owner(of id: pid_t) -> uid_t? {
    let found = try? FileManager.default.attributesOfItem(atPath: "/proc/\(id)")
    return (found?[.ownerAccountID] as? NSNumber)?.uint32Value
  }

  /// All of a session, and the children of these in whatever session, and theirs.
  static func descendants(ofSession leader: pid_t) -> [pid_t] {
    let entries = ids().compactMap { id in entry(of: id).map { (id: id, entry: $0) } }
    let children = Dictionary(grouping: entries) { $0.entry.parent }
    var found = Set(entries.filter { $0.entry.session == leader }.map(\.id))
    var next = Array(found)
    while let id = next.popLast() {
      for child in children[id] ?? [] where found.insert(child.id).inserted { next.append(child.id) }
    }
    found.subtract([getpid(), 1])
    return Array(found)
  }

  /// The beginning of a file, as much as the buffer holds, with a NUL behind it; how many bytes that is, 0 where it
  /// cannot be read.
  static func read(_ path: String, _ buffer: inout [CChar]) -> Int {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return 0 }
    defer { close(descriptor) }
    let count = max(0, Foundation.read(descriptor, &buffer, buffer.count - 1))
    buffer[count] = 0
    return count
  }
}

/// By what the processes of a call are known: the service that makes the call, and the call.
///
///     4026531836.1234.567890.3F2504E0-…      namespace of process numbers, process, its start, call
///
/// The namespace, because a number means another process in another container, and the start, because a number is
/// given again.
enum ProcessMark {
  private static let service = "\(namespace).\(getpid()).\(ProcessTable.entry(of: getpid())?.start ?? 0)"

  static let namespace: String = {
    let link = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/ns/pid")
    return (link ?? "").filter { ("0"..."9").contains($0) }
  }()

  static func make() -> String { "\(service).\(UUID().uuidString)" }

  /// False also where nobody can tell.
  static func isOfDeadService(_ mark: String) -> Bool {
    let parts = mark.split(separator: ".", omittingEmptySubsequences: false)
    guard parts.count == 4, !namespace.isEmpty, parts[0] == namespace, let id = pid_t(parts[1]), id > 0,
      let start = UInt64(parts[2]), start > 0
    else { return false }
    guard let entry = ProcessTable.entry(of: id) else { return true }
    return entry.start != start || entry.hasEnded
  }
}

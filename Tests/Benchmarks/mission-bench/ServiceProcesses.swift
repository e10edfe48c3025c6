import Foundation

/// The services that a `buddy up` has started: its child processes.
struct ServiceProcesses {
  /// The process id of `buddy up`.
  let parent: Int

  /// The processor time that each service has spent, user and system, in seconds.
  func times() throws -> [String: Double] {
    let ticks = Double(sysconf(Int32(_SC_CLK_TCK)))
    var times: [String: Double] = [:]
    for entry in try FileManager.default.contentsOfDirectory(atPath: "/proc") where Int(entry) != nil {
      // A process may have ended since it was listed.
      guard let line = try? String(contentsOfFile: "/proc/\(entry)/stat", encoding: .utf8),
        let open = line.firstIndex(of: "("), let close = line.lastIndex(of: ")")
      else { continue }
      // Behind the name: state, parent, and from the twelfth field on the ticks in user and in kernel mode.
      let fields = line[line.index(after: close)...].split(separator: " ")
      guard fields.count > 13, Int(fields[1]) == parent, let user = Double(fields[11]), let system = Double(fields[12])
      else { continue }
      times[String(line[line.index(after: open)..<close]), default: 0] += (user + system) / ticks
    }
    return times
  }
}

/// A number with so many digits behind the point.
func decimal(_ number: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", number) }

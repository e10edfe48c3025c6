public import Foundation

/// Where everything is kept unless `--data` says otherwise: `$BUDDY_DATA`, else `$XDG_DATA_HOME/buddy`, else
/// `~/.local/share/buddy` (XDG Base Directory Specification, which wants relative paths ignored).
public func standardDataFolder(_ environment: [String: String] = ProcessInfo.processInfo.environment) -> String {
  if let folder = environment["BUDDY_DATA"], !folder.isEmpty { return folder }
  if let folder = environment["XDG_DATA_HOME"], folder.hasPrefix("/") { return "\(folder)/buddy" }
  return "\(environment["HOME"] ?? NSHomeDirectory())/.local/share/buddy"
}

public import Foundation

/// Where everything is kept unless `--data` says otherwise: `$BUDDY_DATA`, else `$XDG_DATA_HOME/buddy`, else
/// `~/.local/share/buddy` (XDG Base Directory Specification, which wants relative paths ignored). `~` is `$HOME`, or the
/// system's folder for the user where that is no absolute path: an empty variable must not put databases below `/`.
public func standardDataFolder(_ environment: [String: String] = ProcessInfo.processInfo.environment) -> String {
  if let folder = environment["BUDDY_DATA"], !folder.isEmpty { return folder }
  if let folder = environment["XDG_DATA_HOME"], folder.hasPrefix("/") { return "\(folder)/buddy" }
  if let home = environment["HOME"], home.hasPrefix("/") { return "\(home)/.local/share/buddy" }
  let known = getpwuid(getuid()).flatMap { $0.pointee.pw_dir }.map { String(cString: $0) }
  return "\(known ?? NSHomeDirectory())/.local/share/buddy"
}

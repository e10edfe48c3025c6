/// The port of `--admin-port`. Unless it is given, it follows from the service's own.
enum AdminPortNumber: SettingValue, Hashable {
  /// The service's port and this much: 9420 for the gateway's 8420.
  case besideService
  /// 0: any that is free.
  case number(Int)

  static let expected = "a port from 0 to 65535"
  static let placeholder = "N"
  static var kind: SettingKind { .number }

  init?(settingText text: String) {
    guard let number = Int(text), (0...65535).contains(number) else { return nil }
    self = .number(number)
  }

  var settingText: String {
    switch self {
    case .besideService: "the service's + \(ServiceName.adminPortDistance)"
    case .number(let number): String(number)
    }
  }

  /// The port to listen on; any that is free where the service itself takes any.
  ///
  /// Throws `SettingError` where the service's is so high that there is none that much higher.
  func port(besideService port: Int) throws -> Int {
    switch self {
    case .number(let number): return number
    case .besideService where port == 0: return 0
    case .besideService:
      guard port + ServiceName.adminPortDistance <= 65535 else {
        throw SettingError(
          "--port \(port) leaves no port for administration \(ServiceName.adminPortDistance) above it: give --admin-port")
      }
      return port + ServiceName.adminPortDistance
    }
  }
}

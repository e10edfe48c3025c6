import ArgumentParser
import Foundation
import Messages

/// What every command that talks to the gateway takes.
struct GatewayOptions: ParsableArguments {
  @Option(help: ArgumentHelp("The gateway's address (default: BUDDY_ADDRESS, else http://127.0.0.1:8420).",
    valueName: "url"))
  var address: String?

  @Option(help: ArgumentHelp("Whose request it is (default: BUDDY_USER, else nobody's in particular).",
    valueName: "name"))
  var user: String?

  @Flag(help: "Print the answer as JSON.")
  var json = false

  func validate() throws {
    _ = try resolved()
    _ = try resolvedUser()
  }

  /// Throws a usage error for what cannot stand in a header of HTTP.
  func resolvedUser(environment: [String: String] = ProcessInfo.processInfo.environment) throws -> String {
    let name = user ?? environment["BUDDY_USER"] ?? ""
    guard name.isEmpty || HeaderText.fits(name, limit: 100) else {
      throw ValidationError("a user's name has \(HeaderText.rule(limit: 100))")
    }
    return name
  }

  /// Throws a usage error for what is no http or https address.
  func resolved(environment: [String: String] = ProcessInfo.processInfo.environment) throws -> GatewayAddress {
    if let address {
      guard let parsed = GatewayAddress(address) else {
        throw ValidationError("--address \(address) is not an address such as http://127.0.0.1:8420")
      }
      return parsed
    }
    guard let variable = environment["BUDDY_ADDRESS"], !variable.isEmpty else { return .standard }
    guard let parsed = GatewayAddress(variable) else {
      throw ValidationError("BUDDY_ADDRESS=\(variable) is not an address such as http://127.0.0.1:8420")
    }
    return parsed
  }

  /// Runs `body` with a client of the chosen gateway, which is closed afterwards.
  func withGateway<Result>(
    limits: GatewayClient.Limits = .init(), _ body: (GatewayClient) async throws -> Result
  ) async throws -> Result {
    try await GatewayClient.with(resolved(), limits: limits, user: resolvedUser(), body)
  }
}

/// What can stand in a header of HTTP, which would trim it, refuse it or end at it otherwise.
enum HeaderText {
  static func fits(_ text: String, limit: Int) -> Bool {
    let characters = Array(text.utf8)
    return (1...limit).contains(characters.count) && characters.allSatisfy { (0x20...0x7E).contains($0) }
      && characters.first != 0x20 && characters.last != 0x20
  }

  static func rule(limit: Int) -> String {
    "1 to \(limit) letters, digits and signs of ASCII, and no space at its ends"
  }
}

/// Values of options that are more than a word or a number.
enum OptionValue {
  static func pair(_ text: String) throws -> KeyValue {
    guard let pair = KeyValue(argument: text) else {
      throw ValidationError("'\(text)' has no name and value; write NAME=VALUE, for example color=red")
    }
    return pair
  }

  static func duration(_ text: String) throws -> Duration {
    guard let duration = DurationText.parse(text) else {
      throw ValidationError("'\(text)' is no span of time; write for example 30s, 5m or 1h30m")
    }
    return duration
  }

  static func money(_ text: String) throws -> Money {
    guard let money = MoneyText.parse(text) else {
      throw ValidationError("'\(text)' is no amount of money; write for example 0.50 or \"0.50 EUR\"")
    }
    return money
  }

  static func deadline(_ text: String) throws -> DeadlineText {
    guard let deadline = DeadlineText(text) else {
      throw ValidationError("'\(text)' is no deadline; write for example \"in 2h\" or 2030-01-31T18:00:00+01:00")
    }
    return deadline
  }

  static func state(_ text: String) throws -> MissionState {
    guard let state = MissionState(text: text) else {
      throw ValidationError("'\(text)' is no state; there are \(MissionState.choices)")
    }
    return state
  }
}

import ArgumentParser
import Foundation
import Messages

/// What every command that talks to the gateway takes.
struct GatewayOptions: ParsableArguments {
  @Option(help: ArgumentHelp("The gateway's address (default: BUDDY_ADDRESS, else http://127.0.0.1:8420).",
    valueName: "url"))
  var address: String?

  @Flag(help: "Print the answer as JSON.")
  var json = false

  func validate() throws { _ = try resolved() }

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
  func withGateway<Result>(_ body: (GatewayClient) async throws -> Result) async throws -> Result {
    try await GatewayClient.with(resolved(), body)
  }
}

/// Values of options that are more than a word or a number.
enum OptionValue {
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

  static func state(_ text: String) throws -> MissionState {
    guard let state = MissionState(text: text) else {
      throw ValidationError("'\(text)' is no state; there are \(MissionState.choices)")
    }
    return state
  }
}

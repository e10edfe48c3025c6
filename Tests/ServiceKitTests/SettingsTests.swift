import ServiceKit
import Testing

@Suite struct SettingsTests {
  private static let port = Setting<Int>("port", default: 8421, help: "the port", in: 0...65535)
  private static let grace = Setting<Duration>("shutdown-grace", default: .seconds(30), help: "the grace")
  private static let name = Setting<String>("name", default: "nobody", help: "the name")
  private static let open = Setting<Bool>("open", default: false, help: "the door")
  private static let hosts = Setting<[String]>("hosts", default: [], help: "the hosts")
  private static let format = Setting<LogFormat>("format", default: .text, help: "the format")
  private static let key = Setting<String>("api-key", default: "", help: "the key", isSecret: true)
  private static let all: [any SettingDeclaration] = [port, grace, name, open, hosts, format, key]

  private func settings(_ arguments: [String], _ environment: [String: String] = [:]) throws -> Settings {
    try Settings(Self.all, arguments: arguments, environment: environment)
  }

  private func error(_ arguments: [String], _ environment: [String: String] = [:]) -> String? {
    do {
      _ = try settings(arguments, environment)
      return nil
    } catch {
      return (error as? SettingError)?.description
    }
  }

  @Test func flagsBeforeVariablesBeforeDefaults() throws {
    let environment = ["BUDDY_PORT": "2", "BUDDY_SHUTDOWN_GRACE": "500ms", "PORT": "9", "BUDDY_NAME": ""]
    let settings = try settings(["--port", "1"], environment)
    #expect(settings[Self.port] == 1)
    #expect(settings[Self.grace] == .milliseconds(500))
    #expect(settings[Self.name] == "nobody")
    #expect(try self.settings([], environment)[Self.port] == 2)
    #expect(try self.settings([])[Self.port] == 8421)
  }

  @Test func everyKindOfValue() throws {
    let settings = try settings([
      "--port=0", "--shutdown-grace=2h", "--name", "a, b=c", "--open", "--hosts", "x, y,,z", "--format", "json",
    ])
    #expect(settings[Self.port] == 0)
    #expect(settings[Self.grace] == .seconds(7200))
    #expect(settings[Self.name] == "a, b=c")
    #expect(settings[Self.open])
    #expect(settings[Self.hosts] == ["x", "y", "z"])
    #expect(settings[Self.format] == .json)
    #expect(try self.settings(["--open=false"], ["BUDDY_OPEN": "true"])[Self.open] == false)
    #expect(try self.settings([], ["BUDDY_OPEN": "true"])[Self.open])
    #expect(try self.settings(["--name=-x"])[Self.name] == "-x")
    #expect(try self.settings(["--name="])[Self.name] == "")
  }

  @Test(arguments: [("250ms", 250), ("0s", 0), ("30s", 30_000), ("5m", 300_000), ("2h", 7_200_000)])
  func durations(_ text: String, _ milliseconds: Int64) {
    #expect(Duration(settingText: text) == .milliseconds(milliseconds))
    #expect(Duration(settingText: Duration.milliseconds(milliseconds).settingText) == .milliseconds(milliseconds))
  }

  @Test(arguments: ["", "30", "s", "-1s", "1.5s", "1 s", "1d", "9999999999999999999s", "9223372036854775807h"])
  func noDurations(_ text: String) {
    #expect(Duration(settingText: text) == nil)
  }

  @Test func unknownFlagsListTheKnown() throws {
    let message = try #require(error(["--prot", "1"]))
    #expect(message.hasPrefix("--prot is unknown"))
    for setting in Self.all { #expect(message.contains(setting.flag)) }
    #expect(error(["-p"])?.hasPrefix("-p is unknown") == true)
  }

  @Test func badCommandLines() {
    #expect(error(["stray"])?.contains("\"stray\" is not expected") == true)
    #expect(error(["--open", "true"])?.contains("\"true\" is not expected") == true)
    #expect(error(["--port"]) == "--port needs a value: --port N")
    #expect(error(["--port", "--open"]) == "--port needs a value: --port N")
    #expect(error(["--port", "1", "--port=2"]) == "--port is given twice")
  }

  @Test func badValuesNameTheirSource() {
    #expect(error(["--port", "x"]) == "--port: \"x\" is not a whole number from 0 to 65535")
    #expect(error(["--port", "65536"]) == "--port: \"65536\" is not a whole number from 0 to 65535")
    #expect(error([], ["BUDDY_PORT": "x"])?.hasPrefix("BUDDY_PORT: ") == true)
    #expect(error(["--open=yes"]) == "--open: \"yes\" is not true or false")
    #expect(error(["--format", "xml"]) == "--format: \"xml\" is not one of text, json")
    #expect(error([], ["BUDDY_SHUTDOWN_GRACE": "30"])?.contains("30s") == true)
  }

  @Test func secretsAreNotShown() throws {
    let effective = try settings([], ["BUDDY_API_KEY": "hunter2"]).effective
    #expect(effective.map(\.name) == Self.all.map(\.name) + ["api-key-file"])
    #expect(effective.first { $0.name == "api-key" }?.value == "(set)")
    #expect(!"\(effective)".contains("hunter2"))
    #expect(effective.first { $0.name == "shutdown-grace" }?.value == "30s")
  }
}

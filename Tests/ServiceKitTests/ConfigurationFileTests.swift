import Foundation
import TestSupport
import Testing

@testable import ServiceKit

@Suite struct ConfigurationFileTests {
  private static let port = Setting<Int>("port", default: 8421, help: "the port", in: 0...65535)
  private static let running = Setting<Int>("maximum-running", default: 64, help: "how many")
  private static let sample = Setting<Double>("trace-sample", default: 1, help: "how many", in: 0...1)
  private static let grace = Setting<Duration>("shutdown-grace", default: .seconds(30), help: "the grace")
  private static let level = Setting<LogFormat>("log-format", default: .text, help: "the format")
  private static let open = Setting<Bool>("allow-private-fetch", default: false, help: "the door")
  private static let hosts = Setting<[String]>("allowed-host", default: [], help: "the hosts")
  private static let key = Setting<String>("api-key", default: "", help: "the key", isSecret: true)
  private static let all: [any SettingDeclaration] = [
    CommonSettings.config, port, running, sample, grace, level, open, hosts, key,
  ]

  private let folder: TemporaryFolder
  private let path: String

  init() throws {
    folder = try TemporaryFolder("settings")
    path = folder.file("buddy.json")
  }

  private func write(_ text: String, to path: String? = nil, mode: Int = 0o600) throws {
    let path = path ?? self.path
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
  }

  private func settings(_ arguments: [String] = [], _ environment: [String: String] = [:]) throws -> Settings {
    try Settings(Self.all, arguments: ["--config", path] + arguments, environment: environment, service: .execution)
  }

  /// What is wrong with a file of this text.
  private func error(_ text: String, mode: Int = 0o600, _ arguments: [String] = []) throws -> String {
    try write(text, mode: mode)
    let error = #expect(throws: SettingError.self) { try settings(arguments) }
    return error?.description ?? ""
  }

  @Test func everyKindOfValue() throws {
    try write(
      """
      {"port": 1, "trace-sample": 0.25, "shutdown-grace": "5s", "log-format": "json", "allow-private-fetch": true,
       "allowed-host": ["a.example", "b.example"], "api-key": "hunter2"}
      """)
    let settings = try settings()
    #expect(settings[Self.port] == 1)
    #expect(settings[Self.sample] == 0.25)
    #expect(settings[Self.grace] == .seconds(5))
    #expect(settings[Self.level] == .json)
    #expect(settings[Self.open])
    #expect(settings[Self.hosts] == ["a.example", "b.example"])
    #expect(settings[Self.key] == "hunter2")
    #expect(settings[Self.running] == 64)
  }

  @Test func flagsBeforeVariablesBeforeTheFileBeforeDefaults() throws {
    try write(#"{"port": 3, "maximum-running": 3, "trace-sample": 0.5}"#)
    let settings = try settings(["--port", "1"], ["BUDDY_PORT": "2", "BUDDY_MAXIMUM_RUNNING": "2"])
    #expect(settings[Self.port] == 1)
    #expect(settings[Self.running] == 2)
    #expect(settings[Self.sample] == 0.5)
    #expect(settings[Self.grace] == .seconds(30))
    let sources = Dictionary(uniqueKeysWithValues: settings.effective.map { ($0.name, $0.source) })
    #expect(sources["port"] == "flag")
    #expect(sources["maximum-running"] == "variable")
    #expect(sources["trace-sample"] == "file")
    #expect(sources["shutdown-grace"] == "default")
    #expect(settings.listing.contains("port = 1  (flag)\nmaximum-running = 2  (variable)\n"))
  }

  @Test func theFileMayBeNamedByAVariable() throws {
    try write(#"{"port": 3}"#)
    let settings = try Settings(Self.all, arguments: [], environment: ["BUDDY_CONFIG": path])
    #expect(settings[Self.port] == 3)
    let without = [Self.port] as [any SettingDeclaration]
    #expect(try Settings(without, arguments: [], environment: ["BUDDY_CONFIG": path])[Self.port] == 8421)
  }

  @Test func aServicesSectionWins() throws {
    try write(#"{"execution": {"port": 2}, "port": 1, "learning": {"port": 4}, "gateway": {"upstream-timeout": "1s"}}"#)
    #expect(try settings()[Self.port] == 2)
  }

  @Test func whatOtherServicesKnowIsLeftToThem() throws {
    try write(#"{"upstream-timeout": true, "initial-budget-micros": 5, "artifact": {"maximum-artifact-bytes": 1}}"#)
    #expect(try settings()[Self.port] == 8421)
  }

  @Test(arguments: [
    (#"{"maximum-runing": 1}"#, "maximum-runing is not a setting; did you mean maximum-running?"),
    (#"{"execution": {"prot": 1}}"#, "execution.prot is not a setting; did you mean port?"),
    (#"{"execution": {"upstream-timeout": "1s"}}"#, "execution.upstream-timeout is not a setting"),
    (#"{"gateway": {"maximum-running": 1}}"#, "gateway.maximum-running is not a setting"),
    (#"{"excution": {"port": 1}}"#, "excution is not a setting"),
    (#"{"config": "other.json"}"#, "config is not a setting"),
    (#"{"completely-different": 1}"#, "completely-different is not a setting"),
  ])
  func unknownKeysNameTheNearest(_ text: String, _ expected: String) throws {
    #expect(try error(text).hasPrefix("\(path): \(expected)"))
  }

  @Test(arguments: [
    (#"{"port": "1"}"#, #"port: "1" is not a whole number from 0 to 65535, as a JSON number"#),
    (#"{"port": true}"#, "port: true is not a whole number from 0 to 65535, as a JSON number"),
    (#"{"port": 1.5}"#, #"port: "1.5" is not a whole number from 0 to 65535"#),
    (#"{"port": 65536}"#, #"port: "65536" is not a whole number from 0 to 65535"#),
    (#"{"port": null}"#, "port: null is not a whole number from 0 to 65535, as a JSON number"),
    (#"{"execution": {"port": []}}"#, "execution.port: a list is not a whole number from 0 to 65535, as a JSON number"),
    (#"{"execution": 5}"#, "execution: 5 is not an object of settings"),
    (#"{"allow-private-fetch": 1}"#, "allow-private-fetch: 1 is not true or false, without quotes"),
    (#"{"allow-private-fetch": "true"}"#, #"allow-private-fetch: "true" is not true or false, without quotes"#),
    (#"{"log-format": "xml"}"#, #"log-format: "xml" is not one of text, json"#),
    (#"{"shutdown-grace": 30}"#, "shutdown-grace: 30 is not a duration like 500ms, 30s, 5m or 2h, as a JSON string"),
    (#"{"allowed-host": "a"}"#, #"allowed-host: "a" is not a JSON list of strings without commas"#),
    (#"{"allowed-host": ["a,b"]}"#, "allowed-host: a list is not a JSON list of strings without commas"),
    (#"{"trace-sample": 2}"#, #"trace-sample: "2" is not a number from 0 to 1"#),
    (#"{"api-key": 12345}"#, "api-key: … is not a text, as a JSON string"),
  ])
  func wrongTypesNameFileKeyAndWhatIsExpected(_ text: String, _ expected: String) throws {
    #expect(try error(text) == "\(path): \(expected)")
  }

  @Test(arguments: ["", "{", "[]", #"{"port": 1, "port": 2}"#, #"{"port": 1} x"#, "\u{FEFF}{}", "{\"port\": 01}"])
  func malformedFiles(_ text: String) throws {
    #expect(try error(text).hasPrefix("\(path): "))
  }

  @Test func filesThatCannotBeRead() throws {
    var error = #expect(throws: SettingError.self) { try settings() }
    #expect(error?.description == "\(path) cannot be read: no such file or directory")
    error = #expect(throws: SettingError.self) {
      try Settings(Self.all, arguments: ["--config", folder.path], environment: [:])
    }
    #expect(error?.description == "\(folder.path) cannot be read: it is a folder")
    try FileManager.default.createSymbolicLink(atPath: folder.file("link"), withDestinationPath: "/dev/null")
    #expect(mkfifo(folder.file("pipe"), 0o666) == 0)
    for other in ["/dev/null", folder.file("link"), folder.file("pipe")] {
      error = #expect(throws: SettingError.self) {
        try Settings(Self.all, arguments: ["--config", other], environment: [:])
      }
      #expect(error?.description == "\(other) cannot be read: it is no regular file")
    }
    try write(String(repeating: " ", count: ConfigurationFile.maximumSize + 1))
    error = #expect(throws: SettingError.self) { try settings() }
    #expect(error?.description == "\(path) is larger than 1024 KiB")
  }

  /// A shell's `<(…)`.
  @Test func aPipeWithoutANameIsRead() throws {
    let pipe = Pipe()
    let reader = pipe.fileHandleForReading.fileDescriptor
    try pipe.fileHandleForWriting.write(contentsOf: Data(#"{"port": 3, "api-key": "hunter2"}"#.utf8))
    let path = "/proc/self/fd/\(reader)"
    // What was opened waits for more until the last writer has gone.
    DispatchQueue.global().async { try? pipe.fileHandleForWriting.close() }
    #expect(try Settings(Self.all, arguments: ["--config", path], environment: [:])[Self.port] == 3)
  }

  @Test(arguments: ["data", "tls-folder"])
  func nothingWhereAFolderWasMeantIsRefused(_ name: String) throws {
    let declared = CommonSettings.all(.progress)
    let variable = "BUDDY_" + name.uppercased().replacing("-", with: "_")
    for (arguments, environment) in [(["--\(name)", ""], [:]), (["--\(name)="], [:]), ([], [variable: ""])] {
      let error = #expect(throws: SettingError.self) {
        try Settings(declared, arguments: arguments, environment: environment, service: .progress)
      }
      #expect(error?.description.contains(": \"\" is not a folder") == true)
    }
    try write(#"{"\#(name)": ""}"#)
    let error = #expect(throws: SettingError.self) {
      try Settings(declared, arguments: ["--config", path], environment: [:], service: .progress)
    }
    #expect(error?.description.hasPrefix("\(path): \(name): \"\" is not a folder") == true)
    // What says something goes before what says nothing.
    _ = try Settings(declared, arguments: ["--\(name)", "/d"], environment: [variable: ""], service: .progress)
  }

  @Test func whatEverybodyMayChangeIsRefused() throws {
    #expect(try error("{}", mode: 0o646).contains("chmod o-w"))
    try write("{}", mode: 0o664)
    _ = try settings()
  }

  @Test func aSecretThatEverybodyMayReadIsRefused() throws {
    let message = try error(#"{"api-key": "hunter2"}"#, mode: 0o644)
    #expect(message.contains("chmod o-r") && message.contains("api-key-file") && !message.contains("hunter2"))
    try write(#"{"api-key": "hunter2"}"#, mode: 0o640)
    #expect(try settings()[Self.key] == "hunter2")
  }

  @Test(arguments: [
    ("postgresql://u@h/db", false), ("postgres://h/db?sslmode=require", false), ("", false),
    ("postgresql://u:hunter2@h/db", true), ("postgres://u@h/db?password=hunter2", true),
    ("postgres://u@h/db?sslpassword=hunter2", true),
  ])
  func onlyAnAddressWithAPasswordIsASecret(_ url: String, _ isSecret: Bool) throws {
    try write(#"{"database": "\#(url)"}"#, mode: 0o644)
    let all: [any SettingDeclaration] = [CommonSettings.config, CommonSettings.database]
    let read = { try Settings(all, arguments: ["--config", path], environment: [:]) }
    if isSecret {
      let error = #expect(throws: SettingError.self) { try read() }
      #expect(error?.description.contains("chmod o-r") == true && error?.description.contains("hunter2") == false)
    } else {
      #expect(try read()[CommonSettings.database] == DatabaseSetting(settingText: url))
    }
  }

  @Test func theInstallationsCheck() throws {
    try write(#"{"port": "left to the service", "execution": {"maximum-running": 1}}"#)
    try checkConfigurationFile(path)
    try write(#"{"prot": 1}"#)
    #expect(throws: SettingError.self) { try checkConfigurationFile(path) }
  }

  @Test(arguments: [("port", "port", 0), ("prot", "port", 2), ("", "abc", 3), ("kitten", "sitting", 3)])
  func distances(_ left: String, _ right: String, _ distance: Int) {
    #expect(NearestNames.distance(left, right) == distance)
    #expect(NearestNames.distance(right, left) == distance)
  }

  // MARK: - Secrets in files of their own

  private func secret(_ text: String, _ arguments: [String] = [], _ environment: [String: String] = [:]) throws
    -> Settings
  {
    let file = folder.file("key")
    try write(text, to: file)
    return try Settings(Self.all, arguments: ["--api-key-file", file] + arguments, environment: environment)
  }

  @Test(arguments: ["hunter2", "hunter2\n", "hunter2\r\n"])
  func aSecretComesFromItsFile(_ text: String) throws {
    let settings = try secret(text)
    #expect(settings[Self.key] == "hunter2")
    let shown = settings.effective.first { $0.name == "api-key" }
    #expect(shown?.value == "(set)")
    #expect(shown?.source == "file \(folder.file("key"))")
    #expect(!settings.listing.contains("hunter2"))
  }

  @Test func onlyOneLineEndGoes() throws {
    #expect(try secret(" a\nb \n\n")[Self.key] == " a\nb \n")
  }

  @Test func theFileOfASecretIsSetLikeAnythingElse() throws {
    let file = folder.file("key")
    try write("hunter2", to: file)
    let byVariable = try Settings(Self.all, arguments: [], environment: ["BUDDY_API_KEY_FILE": file])
    #expect(byVariable[Self.key] == "hunter2")
    try write(#"{"api-key-file": "\#(file)"}"#, mode: 0o644)
    #expect(try settings()[Self.key] == "hunter2")
    #expect(Settings.help("x", Self.all).contains("--api-key-file TEXT"))
  }

  @Test func aSecretIsGivenOnce() throws {
    let error = #expect(throws: SettingError.self) { try secret("a", [], ["BUDDY_API_KEY": "hunter2"]) }
    #expect(error?.description == "--api-key and --api-key-file are both given; one of them must go")
  }

  @Test(arguments: ["", "\n", "\r\n"])
  func anEmptySecretIsNone(_ text: String) {
    let error = #expect(throws: SettingError.self) { try secret(text) }
    #expect(error?.description.contains("is empty") == true)
  }

  @Test func aSecretThatIsTooLargeOrMissing() throws {
    let large = #expect(throws: SettingError.self) {
      try secret(String(repeating: "a", count: SecretFile.maximumSize + 1))
    }
    #expect(large?.description.contains("larger than 64 KiB") == true)
    _ = try secret(String(repeating: "a", count: SecretFile.maximumSize))
    let missing = #expect(throws: SettingError.self) {
      try Settings(Self.all, arguments: ["--api-key-file", folder.file("nothing")], environment: [:])
    }
    #expect(missing?.description.contains("no such file") == true)
  }
}

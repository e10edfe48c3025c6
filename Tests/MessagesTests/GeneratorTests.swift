import Foundation
import TestSupport
import Testing

/// Runs protoc with the plugin that was built beside the tests.
private struct Protoc {
  private let temporary: TemporaryFolder
  private let folder: URL

  init() throws {
    temporary = try TemporaryFolder("protoc")
    folder = URL(fileURLWithPath: temporary.path)
  }

  /// The generated files by name; throws what protoc said if it refused.
  func generate(_ files: [String: String], _ parameter: String) throws -> [String: String] {
    for (name, content) in files {
      try content.write(to: folder.appendingPathComponent(name), atomically: true, encoding: .utf8)
    }
    let out = folder.appendingPathComponent("out-\(parameter)")
    try FileManager.default.createDirectory(at: out, withIntermediateDirectories: true)
    let tests = URL(fileURLWithPath: try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe"))
    let plugin = tests.deletingLastPathComponent().appendingPathComponent("protoc-gen-buddy").path
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments =
      ["protoc", "-I\(folder.path)", "--plugin=\(plugin)", "--buddy_out=\(out.path)", "--buddy_opt=\(parameter)"]
      + files.keys.sorted()
    let errors = Pipe()
    process.standardError = errors
    try process.run()
    let message = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { throw Refusal(message: message) }
    let names = try FileManager.default.contentsOfDirectory(atPath: out.path)
    return try Dictionary(
      uniqueKeysWithValues: names.map {
        ($0, try String(contentsOf: out.appendingPathComponent($0), encoding: .utf8))
      })
  }

  struct Refusal: Error { let message: String }
}

@Suite struct GeneratorTests {
  private func generate(_ files: [String: String], _ parameter: String = "messages") throws -> [String: String] {
    try Protoc().generate(files.mapValues { "syntax = \"proto3\";\n" + $0 }, parameter)
  }

  private func refusal(_ files: [String: String], _ parameter: String = "messages") -> String {
    do {
      _ = try generate(files, parameter)
      return "nothing was refused"
    } catch { return (error as? Protoc.Refusal)?.message ?? "\(error)" }
  }

  @Test func messageBecomesAStruct() throws {
    let files = try generate([
      "a.proto": """
        package buddy.test.v1;
        // A thing.
        //   Indented.
        message Thing {
          // What it is called.
          string full_name = 1;
          int32 default = 2;
          int32 old_count = 3 [deprecated = true];
          repeated Kind kinds = 4;
          map<string, Inner> inners = 5;
          oneof body { string text = 6; bytes raw_bytes = 7; }
          message Inner { bool in = 1; }
          enum Kind { KIND_UNSPECIFIED = 0; KIND_SELF = 1; KIND_VERY_BIG = 2; }
        }
        """
    ])
    let text = try #require(files["a.swift"])
    for line in [
      "/// A thing.\n///   Indented.\npublic struct Thing: ProtobufMessage {",
      "  public static var messageName: String { \"buddy.test.v1.Thing\" }",
      "  /// What it is called.\n  public var fullName: String\n",
      "  public var `default`: Int32\n",
      "  @available(*, deprecated)\n  public var oldCount: Int32 {\n",
      "  public var kinds: [Thing.Kind]\n",
      "  public var inners: [String: Thing.Inner]\n",
      "  public enum Body: Sendable, Hashable {\n    case text(String)\n    case rawBytes([UInt8])\n  }\n",
      "  public var body: Body?\n",
      "    case unspecified\n    case self_\n    case veryBig\n",
      "    public var `in`: Bool\n",
      "extension Thing.Inner: NativeMessage {",
      "init(c: UnsafePointer<Buddy__Test__V1__Thing__Inner>)",
      "c.pointee.default_ = self.`default`",
    ] { #expect(text.contains(line), "\(line) in:\n\(text)") }
  }

  @Test func namesOfOtherPackagesArePrefixedAndThoseOfSwiftAvoided() throws {
    let files = try generate([
      "a.proto": "package some.thing.v1; message Foo { Foo2 x = 1; } message Foo2 {}",
      "b.proto": "package buddy.common.v1; message Error { string code = 1; }",
    ])
    #expect(files["a.swift"]?.contains("public struct SomeThingV1Foo: ProtobufMessage") == true)
    #expect(files["a.swift"]?.contains("public var x: SomeThingV1Foo2?") == true)
    #expect(files["b.swift"]?.contains("public struct CommonError: ProtobufMessage") == true)
  }

  @Test func registryHoldsWhatDescriptorsDoNot() throws {
    let files = try generate([
      "a.proto": """
        package buddy.test.v1;
        message A { string b_c = 1; string d = 2 [json_name = "e"]; map<int32, int32> f = 3; }
        """
    ])
    let text = try #require(files["Registry.swift"])
    #expect(text.contains(#""buddy.test.v1.A.d": "e","#) && !text.contains("b_c"))
    #expect(text.contains(#""buddy.test.v1.A.FEntry","#) && text.contains("    A.self,\n"))
  }

  @Test func serviceBecomesHandlerMethodsAndClient() throws {
    let files = try generate(
      [
        "a.proto": """
          package buddy.test.v1;
          message Q {}
          message R {}
          // Does things.
          service Things {
            // One to one.
            rpc One(Q) returns (R);
            rpc Import(Q) returns (stream R);
            rpc Up(stream Q) returns (R) { option deprecated = true; }
            rpc Both(stream Q) returns (stream R);
          }
          """
      ], "stubs")
    let text = try #require(files["a.swift"])
    for line in [
      "/// Does things.\n///\n/// `router.register` takes one.", "public protocol ThingsHandler: Sendable {",
      "  /// One to one.\n  func one(_ request: Q, _ context: ServerContext) async throws -> R\n",
      "  func `import`(_ request: Q, _ responses: ResponseWriter<R>, _ context: ServerContext) async throws\n",
      "  func up(_ requests: RequestStream<Q>, _ context: ServerContext) async throws -> R\n",
      "  func both(_ requests: RequestStream<Q>, _ responses: ResponseWriter<R>, _ context: ServerContext) async",
      "  public mutating func register(_ handler: some ThingsHandler) {\n",
      "    bidirectional(ThingsMethods.both) { try await handler.both($0, $1, $2) }\n",
      "  public static let serviceName = \"buddy.test.v1.Things\"\n",
      "\"/buddy.test.v1.Things/One\"", "  @available(*, deprecated)\n  public func up(",
      "public struct ThingsClient: Sendable {", "public protocol ThingsPartialHandler: ThingsHandler {}",
      "    throw ThingsMethods.one.unimplemented\n",
      "  /// - Parameter produce: Writes the requests, which end when it returns.\n",
    ] { #expect(text.contains(line), "\(line) in:\n\(text)") }
    #expect(text.split(separator: "\n").count / 4 <= 60)
  }

  @Test func whatIsDeprecatedWarnsCallersAndTellsOthers() throws {
    let proto = """
      package buddy.test.v1;
      message Q { string old = 1 [deprecated = true]; oneof o { int32 x = 2 [deprecated = true]; } }
      message Gone { option deprecated = true; }
      enum Kind { option deprecated = true; KIND_NONE = 0; KIND_OLD = 1 [deprecated = true]; }
      service Things { option deprecated = true; rpc One(Q) returns (Q); }
      """
    let note = "/// Deprecated in the .proto file.\n"
    let messages = try #require(try generate(["a.proto": proto])["a.swift"])
    for line in [
      "  @available(*, deprecated)\n  public var old: String {", "    \(note)    case x(Int32)\n",
      "\(note)public struct Gone:", "\(note)public enum Kind:", "  \(note)  case old\n",
    ] { #expect(messages.contains(line), "\(line) in:\n\(messages)") }
    let stubs = try #require(try generate(["a.proto": proto], "stubs")["a.swift"])
    #expect(stubs.contains("@available(*, deprecated)\npublic struct ThingsClient: Sendable {"))
    #expect(!stubs.contains("@available(*, deprecated)\npublic protocol"))
  }

  @Test func aDeprecatedFileDeprecatesAllThatItDeclares() throws {
    let proto = """
      package buddy.test.v1;
      option deprecated = true;
      message Q {}
      enum Kind { KIND_NONE = 0; }
      service Things { rpc One(Q) returns (Q); }
      """
    let note = "/// Deprecated in the .proto file.\n"
    let messages = try #require(try generate(["a.proto": proto])["a.swift"])
    #expect(messages.contains("\(note)public struct Q:") && messages.contains("\(note)public enum Kind:"))
    let stubs = try #require(try generate(["a.proto": proto], "stubs")["a.swift"])
    #expect(stubs.contains("@available(*, deprecated)\npublic struct ThingsClient: Sendable {"))
  }

  @Test func sameInputGivesTheSameOutput() throws {
    let proto = ["a.proto": "package buddy.a.v1; message A { map<string, int32> m = 1; } enum E { E_NONE = 0; }"]
    #expect(try generate(proto) == generate(proto))
  }

  @Test func clashesAreErrors() {
    let clash = refusal([
      "a.proto": "package buddy.a.v1; message Foo {}", "b.proto": "package buddy.b.v1; message Foo {}",
    ])
    #expect(clash.contains("buddy.a.v1.Foo (a.proto)") && clash.contains("buddy.b.v1.Foo (b.proto)"))
    #expect(clash.contains("Foo in Swift"))
    #expect(
      refusal(["a.proto": "package buddy.a.v1; message A { int32 x_y = 1; oneof xY { int32 z = 2; } }"])
        .contains("the name xY is taken"))
    #expect(
      refusal(["a.proto": "package buddy.a.v1; message B {} message A { oneof b { int32 z = 2; } }"])
        .contains("the name B for a nested type is taken"))
    #expect(
      refusal(["a.proto": "package buddy.a.v1; message ThingsClient {} service Things {}"]).contains("ThingsClient"))
  }

  @Test func whatHasNoFormIsRefused() {
    #expect(refusal(["a.proto": "package buddy.a.v1; message A { optional int32 x = 1; }"]).contains("optional"))
    #expect(
      refusal(["a.proto": "package buddy.a.v1; message A { B b = 1; } message B { repeated A a = 1; }"])
        .contains("buddy.a.v1.A contains itself (b.a)"))
    #expect(refusal(["a.proto": "package buddy.a.v1;"], "what").contains("unknown parameter \"what\""))
    let fields = (1...129).map { "int32 f\($0) = \($0);" }.joined()
    #expect(refusal(["a.proto": "package buddy.a.v1; message A { \(fields) }"]).contains("more than 128 fields"))
  }
}

// swift-tools-version: 6.2
import PackageDescription

// Every target is made by one of the helpers at the end of this file, so that all of them are compiled alike.
// C libraries have one module map each, imported by exactly one Swift target.

/// `BUDDY_PART=rpc` builds the RPC runtime alone, with its tests, tools and benchmarks: so sanitizers do. `fuzz` builds
/// it instrumented for libFuzzer, with the program that runs it.
let part = Context.environment["BUDDY_PART"]
let isFuzzed = part == "fuzz"

let rpcProducts: [Product] = [
  .executable(name: "protoc-gen-buddy", targets: ["protoc-gen-buddy"]),
  .library(name: "BuddyRPC", targets: ["RPC", "Stubs", "StandardServices", "RPCTelemetry"]),
]

/// What the programs of gRPC's interoperability tests need.
let interop: [Target.Dependency] = ["RPC", "Messages", "Stubs", .argumentParser]

let rpcTargets: [Target] = [
  cLibrary("CNghttp2", pkgConfig: "libnghttp2", apt: "libnghttp2-dev"),
  cLibrary("CProtobufC", pkgConfig: "libprotobuf-c", apt: "libprotobuf-c-dev"),
  cLibrary("CZlib", pkgConfig: "zlib", apt: "zlib1g-dev"),
  .target(
    name: "CMessages", dependencies: ["CProtobufC"],
    cSettings: isFuzzed ? [.unsafeFlags(["-fsanitize=fuzzer-no-link"])] : []),
  .target(name: "CDescriptors", dependencies: ["CProtobufC"]),

  library("Messages", ["CMessages", "CProtobufC", .nio("NIOCore")]),
  library("HTTP2", ["CNghttp2", .nio("NIOCore")]),
  library(
    "RPC", exclude: ["README.md"],
    [
      "HTTP2", "CZlib", .locks, .nio("NIOCore"), .nio("NIOPosix"), .nio("NIOTLS"), .nioSSL, .certificates, .asn1,
    ]),
  library("Stubs", ["RPC", "Messages", .nio("NIOCore")]),
  library("StandardServices", ["RPC", "Messages", "Stubs", .locks, .nio("NIOCore")]),
  library("RPCTelemetry", ["RPC", .locks, .log, .metrics, .tracing]),
  tool("protoc-gen-buddy", ["CProtobufC", "CDescriptors"], path: "Sources/protoc-gen-buddy"),

  library("TestSupport", []),
  tests("HTTP2", [.nio("NIOCore")]),
  tests("RPC", [.locks, .nio("NIOCore"), .nio("NIOPosix"), .nioSSL, .certificates, .asn1, .crypto]),
  tests("Messages", ["protoc-gen-buddy", .nio("NIOCore")]),
  tests("StandardServices", ["RPC", "Messages", "Stubs", .locks, .nio("NIOCore")]),
  tests(
    "RPCTelemetry",
    [
      "RPC", .locks, .log, .metrics, .tracing, .nio("NIOCore"), .product(name: "InMemoryLogging", package: "swift-log"),
      .product(name: "MetricsTestKit", package: "swift-metrics"),
      .product(name: "InMemoryTracing", package: "swift-distributed-tracing"),
    ]),
  tool(
    "rpc-echo-server", ["RPC", "Messages", "Stubs", "StandardServices", .nio("NIOPosix")],
    path: "Tests/Tools/rpc-echo-server"),
  tool("protojson-convert", ["Messages", .nio("NIOCore")], path: "Tests/Tools/protojson-convert"),
  tool("rpc-interop-server", interop, path: "Tests/Tools/rpc-interop-server"),
  tool("rpc-interop-client", interop, path: "Tests/Tools/rpc-interop-client"),
  tool("rpc-message-peer", ["RPC", "Messages", "Stubs"], path: "Tests/Tools/rpc-message-peer"),
  tool("rpc-test-peer", ["RPC", .nio("NIOCore"), .nio("NIOPosix")], path: "Tests/Tools/rpc-test-peer"),
  benchmark("rpc-bench-client", ["RPC", "Messages", "Stubs", .nio("NIOPosix")]),
]

/// What fuzzers feed, as part of the tests: it looks inside modules, which release builds do not allow.
let fuzzTests: [Target] = [
  .testTarget(
    name: "FuzzTests", dependencies: ["HTTP2", "RPC", "Messages", .nio("NIOCore")], path: "Tests/Fuzz",
    exclude: ["CLibFuzzer", "Runner", "corpus"], sources: ["Targets", "Tests"], swiftSettings: strict())
]

let fuzzTargets: [Target] = [
  .target(
    name: "FuzzTargets", dependencies: ["HTTP2", "RPC", "Messages", .nio("NIOCore")], path: "Tests/Fuzz/Targets",
    swiftSettings: strict()),
  .systemLibrary(name: "CLibFuzzer", path: "Tests/Fuzz/CLibFuzzer"),
  .executableTarget(
    name: "fuzz", dependencies: ["FuzzTargets", "CLibFuzzer"], path: "Tests/Fuzz/Runner", swiftSettings: strict(),
    linkerSettings: [.unsafeFlags(["-sanitize=fuzzer,address", "-use-ld=lld"])]),
]

// Everything that runs on it.
let serviceProducts: [Product] = [
  .executable(name: "buddy-execution", targets: ["ExecutionService"]),
  .executable(name: "buddy-progress", targets: ["ProgressService"]),
  .executable(name: "buddy-learning", targets: ["LearningService"]),
  .executable(name: "buddy-investment", targets: ["InvestmentService"]),
  .executable(name: "buddy-artifact", targets: ["ArtifactService"]),
  .executable(name: "buddy-gateway", targets: ["GatewayService"]),
  .executable(name: "buddy", targets: ["BuddyCLI"]),
]

let serviceTargets: [Target] = [
  cLibrary("CLibPQ", pkgConfig: "libpq", apt: "libpq-dev"),
  cLibrary("CLibXML2", pkgConfig: "libxml-2.0", apt: "libxml2-dev"),
  library(
    "Storage", exclude: ["README.md"],
    ["CLibPQ", .product(name: "GRDB", package: "GRDB.swift"), .product(name: "Crypto", package: "swift-crypto"), .log]),
  library(
    "ServiceKit", exclude: ["README.md"],
    [
      "RPC", "Messages", "Stubs", "StandardServices", "RPCTelemetry", "Storage", .log, .metrics, .tracing,
      .nio("NIOCore"),
      .nio("NIOPosix"), .product(name: "Crypto", package: "swift-crypto"),
      .product(name: "Configuration", package: "swift-configuration"),
      .product(name: "Hummingbird", package: "hummingbird"),
      .product(name: "HummingbirdCore", package: "hummingbird"),
      .product(name: "HTTPTypes", package: "swift-http-types"),
      .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
      .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      .product(name: "UnixSignals", package: "swift-service-lifecycle"),
      .product(name: "SystemPackage", package: "swift-system"),
    ]),

  service(
    "ExecutionService", path: "execution", exclude: ["README.md"],
    migrations: [
      "001_initial.sql", "006_trace.sql", "007_commands.sql", "008_queue.sql", "009_effects.sql",
      "010_forgotten.sql",
    ],
    [
      "CLibXML2", .asyncHTTPClient, .metrics, .nio("NIOHTTP1"), .nio("NIOPosix"), .bigInt, .tracing,
      .product(name: "NIOHTTPCompression", package: "swift-nio-extras"),
      .product(name: "Subprocess", package: "swift-subprocess"),
      .product(name: "SystemPackage", package: "swift-system"),
    ]),
  service(
    "ProgressService", path: "progress",
    migrations: [
      "001_initial.sql", "003_positions.sql", "004_durations.sql", "005_audit.sql", "006_audit_start.sql",
    ]),
  service("LearningService", path: "learning", migrations: ["001_initial.sql"]),
  service("InvestmentService", path: "investment", migrations: ["001_initial.sql"]),
  service(
    "ArtifactService", path: "artifact", migrations: ["001_initial.sql"],
    [.product(name: "Crypto", package: "swift-crypto")]),
  service(
    "GatewayService", path: "gateway", exclude: ["README.md"],
    [
      .metrics, .tracing, .nio("NIOHTTP1"), .nio("NIOPosix"), .nio("NIOWebSocket"),
      .product(name: "Hummingbird", package: "hummingbird"),
      .product(name: "HummingbirdCore", package: "hummingbird"),
      .product(name: "AsyncAlgorithms", package: "swift-async-algorithms"),
      .product(name: "HTTPTypes", package: "swift-http-types"),
      .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
      .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
    ]),
  service(
    "BuddyCLI", path: "cli",
    [
      .asyncHTTPClient, .nio("NIOHTTP1"), .nio("NIOPosix"), .nio("NIOWebSocket"),
      .argumentParser, .certificates, .asn1, .crypto,
      .product(name: "Subprocess", package: "swift-subprocess"),
      .product(name: "SystemPackage", package: "swift-system"),
      .product(name: "UnixSignals", package: "swift-service-lifecycle"),
    ]),

  tests(
    "ExecutionService",
    [
      "ServiceTestSupport", "Messages", "RPC", "ServiceKit", "Storage", "Stubs", .log, .nio("NIOCore"),
      .nio("NIOPosix"), .nio("NIOHTTP1"),
    ]),

  library(
    "ServiceTestSupport", ["TestSupport", "RPC", "Messages", "Stubs", "Storage", "ServiceKit", .log, .nio("NIOCore")]),
  faultInjector("CFaults"),
  tests("Storage", ["ServiceTestSupport", "CFaults"]),
  tests(
    "ServiceKit",
    [
      "ServiceTestSupport", "RPC", "RPCTelemetry", "Messages", "Storage", "StandardServices", "Stubs", .log, .metrics,
      .tracing,
      .asyncHTTPClient, .nio("NIOCore"), .nio("NIOHTTP1"), .nio("NIOPosix"), .product(name: "Crypto",
      package: "swift-crypto"),
    ]),

  tests(
    "ProgressService",
    [
      "ServiceTestSupport", "Messages", "RPC", "ServiceKit", "Storage", "Stubs", .log, .nio("NIOCore"),
      .product(name: "Crypto", package: "swift-crypto"),
    ]),
  tests("LearningService", ["ServiceTestSupport", "Messages", "RPC", "Storage"]),
  tests("InvestmentService", ["ServiceTestSupport", "Messages", "RPC", "Storage"]),
  tests("ArtifactService", ["ServiceTestSupport", "Messages", "RPC", "Storage"]),
  tests(
    "GatewayService",
    [
      "ServiceTestSupport", "Messages", "RPC", "Stubs", "ServiceKit", .asyncHTTPClient, .log, .nio("NIOCore"),
      .nio("NIOHTTP1"),
      .nio("NIOPosix"), .nio("NIOWebSocket"),
      .product(name: "Hummingbird", package: "hummingbird"),
      .product(name: "HTTPTypes", package: "swift-http-types"),
      .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
    ]),
  .testTarget(
    name: "EndToEndTests",
    dependencies: [
      "TestSupport", "ServiceTestSupport", "Messages", "RPC", "ServiceKit", "Stubs", .nio("NIOCore"),
      .nio("NIOHTTP1"), .nio("NIOPosix"),
    ],
    path: "Tests/EndToEndTests", swiftSettings: strict()),
  benchmark("mission-bench", ["RPC", "Messages", "Stubs", .argumentParser]),
  benchmark(
    "progress-bench",
    ["RPC", "Messages", "Stubs", .argumentParser, .nio("NIOCore"), .nio("NIOPosix")]),
  benchmark("storage-bench", ["Storage", "ServiceTestSupport", .argumentParser]),

  tool("metrics-text", ["ServiceKit", .metrics], path: "Tests/Tools/metrics-text"),
  tests(
    "BuddyCLI",
    [
      "ServiceTestSupport", "Messages", "RPC", "ServiceKit", "Stubs", .argumentParser, .asyncHTTPClient,
      .certificates, .asn1, .nio("NIOCore"), .nio("NIOHTTP1"),
      .nio("NIOPosix"), .product(name: "Crypto", package: "swift-crypto"),
    ]),
]

let package = Package(
  name: "buddy",
  products: rpcProducts + (part != nil ? [] : serviceProducts),
  dependencies: [
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
    .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.0"),
    .package(url: "https://github.com/apple/swift-certificates", from: "1.21.0"),
    .package(url: "https://github.com/apple/swift-asn1.git", from: "1.7.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
    .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
    .package(url: "https://github.com/apple/swift-distributed-tracing", from: "1.7.0"),
    .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0"),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.0"),
    .package(url: "https://github.com/attaswift/BigInt", from: "6.0.1"),
    .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
    .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0"),
    .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    // Hummingbird's own dependencies, where the gateway uses their types by name.
    .package(url: "https://github.com/apple/swift-async-algorithms.git", from: "1.1.0"),
    .package(url: "https://github.com/apple/swift-http-types.git", from: "1.8.0"),
    .package(url: "https://github.com/apple/swift-nio-extras.git", from: "1.34.1"),
    .package(url: "https://github.com/apple/swift-system", from: "1.7.0"),
    .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.0"),
  ],
  targets: rpcTargets + (isFuzzed ? fuzzTargets : fuzzTests) + (part != nil ? [] : serviceTargets)
)

// MARK: - One helper per kind of target

/// Settings every Swift target is compiled with: Swift 6 and the import rules that keep dependencies one-way.
/// Warnings are errors where `CI` is set; elsewhere a newer compiler's new warning must not stop anyone.
func strict() -> [SwiftSetting] {
  var rules: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("ExistentialAny"),
  ]
  if Context.environment["CI"] != nil { rules.append(.treatAllWarnings(as: .error)) }
  // Testable, as tests are, and yet fast: a fuzzer finds as much as it tries.
  // Both sanitizers, for of several such flags the compiler obeys the last.
  if isFuzzed { rules.append(.unsafeFlags(["-sanitize=fuzzer,address", "-O"])) }
  return rules
}

func cLibrary(_ name: String, pkgConfig: String, apt: String) -> Target {
  .systemLibrary(name: name, path: "Sources/\(name)", pkgConfig: pkgConfig, providers: [.apt([apt])])
}

func library(_ name: String, exclude: [String] = [], _ dependencies: [Target.Dependency]) -> Target {
  .target(
    name: name, dependencies: dependencies, path: "Sources/\(name)", exclude: exclude, swiftSettings: strict())
}

func tool(_ name: String, _ dependencies: [Target.Dependency], path: String) -> Target {
  .executableTarget(name: name, dependencies: dependencies, path: path, swiftSettings: strict())
}

/// A service's binary. The numbered `.sql` migrations of its database, if it has one, are compiled into it.
func service(
  _ name: String, path: String, exclude: [String] = [], migrations: [String] = [],
  _ dependencies: [Target.Dependency] = []
) -> Target {
  let common: [Target.Dependency] = ["ServiceKit", "RPC", "Messages", "Stubs", .log, .nio("NIOCore")]
  return .executableTarget(
    name: name, dependencies: common + (migrations.isEmpty ? [] : ["Storage"]) + dependencies,
    path: "services/\(path)", exclude: exclude, resources: migrations.map { .embedInCode("Migrations/\($0)") },
    swiftSettings: strict())
}

func tests(_ target: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .testTarget(
    name: "\(target)Tests", dependencies: [.target(name: target), "TestSupport"] + dependencies,
    path: "Tests/\(target)Tests", swiftSettings: strict())
}

/// C code by which tests make SQLite's disk fail; linked by tests alone.
func faultInjector(_ name: String) -> Target {
  .target(name: name, path: "Tests/Support/\(name)", linkerSettings: [.linkedLibrary("sqlite3")])
}

/// A program behind `make bench`; not part of any product.
func benchmark(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  tool(name, dependencies, path: "Tests/Benchmarks/\(name)")
}

extension Target.Dependency {
  static func nio(_ product: String) -> Self { .product(name: product, package: "swift-nio") }
  /// Locks that ThreadSanitizer sees; it does not look into Synchronization's `Mutex`.
  static var locks: Self { .nio("NIOConcurrencyHelpers") }
  static var nioSSL: Self { .product(name: "NIOSSL", package: "swift-nio-ssl") }
  static var certificates: Self { .product(name: "X509", package: "swift-certificates") }
  static var asn1: Self { .product(name: "SwiftASN1", package: "swift-asn1") }
  static var crypto: Self { .product(name: "Crypto", package: "swift-crypto") }
  static var argumentParser: Self { .product(name: "ArgumentParser", package: "swift-argument-parser") }
  static var metrics: Self { .product(name: "Metrics", package: "swift-metrics") }
  static var tracing: Self { .product(name: "Tracing", package: "swift-distributed-tracing") }
  static var log: Self { .product(name: "Logging", package: "swift-log") }
  static var bigInt: Self { .product(name: "BigInt", package: "BigInt") }
  static var asyncHTTPClient: Self { .product(name: "AsyncHTTPClient", package: "async-http-client") }
}

import ServiceKit
import ServiceTestSupport
import Storage
import Synchronization
import Testing

@testable import ExecutionService

@Suite struct ToolPlacesTests {
  /// Leases on `a`, `b` and so on.
  private func leases(_ count: Int) async throws -> (TestStore, Database, [Lease]) {
    let place = try await TestStore(.sqlite)
    let database = try await place.open([Migration(1, "leases", sql: Lease.schema)])
    let leases = try await database.write { connection in
      try (0..<count).compactMap {
        try Lease.claim("\($0)", by: LeaseHolder(id: "h", duration: .seconds(60)), in: connection)
      }
    }
    return (place, database, leases)
  }

  @Test func eachToolHasItsPlacesAndEachMissionOneOfThem() async throws {
    let (place, database, leases) = try await leases(4)
    let places = ToolPlaces(ToolLimits(["a": 1]), standardLimit: 2)
    #expect(places.take("a", for: leases[0]) && places.take("a", for: leases[0]), "taking twice is taking once")
    #expect(!places.take("a", for: leases[1]) && !places.hasPlace(for: "a") && places.hasPlace(for: "b"))
    #expect(places.take("b", for: leases[1]) && places.take("b", for: leases[2]) && !places.take("b", for: leases[3]))
    #expect(places.running("a") == 1 && places.running("b") == 2 && places.limit(of: "b") == 2)
    places.leave(leases[0])
    places.leave(leases[0])
    #expect(places.running("a") == 0)
    #expect(places.take("a", for: leases[2]), "of another tool than before")
    #expect(places.running("a") == 1 && places.running("b") == 1)
    places.keep(only: [leases[1]])
    #expect(places.running("a") == 0 && places.running("b") == 1)
    await database.close()
    withExtendedLifetime(place) {}
  }

  @Test func nobodyOvertakesWhoWaits() async throws {
    let (place, database, leases) = try await leases(3)
    let places = ToolPlaces(standardLimit: 1)
    let freed = Mutex(0)
    places.whenFreed { freed.withLock { $0 += 1 } }
    #expect(places.takeUnlessAwaited("a", for: leases[0]))
    places.leave(leases[0])
    #expect(freed.withLock { $0 } == 0, "nobody waits")
    #expect(places.takeUnlessAwaited("a", for: leases[0]))
    #expect(!places.takeUnlessAwaited("a", for: leases[1]))
    places.leave(leases[0])
    #expect(freed.withLock { $0 } == 1)
    #expect(!places.takeUnlessAwaited("a", for: leases[2]), "the place is for the one in the queue")
    #expect(places.take("a", for: leases[1]))
    places.areAwaited([])
    places.leave(leases[1])
    #expect(places.takeUnlessAwaited("a", for: leases[2]))
    await database.close()
    withExtendedLifetime(place) {}
  }

  @Test func limitsAreWrittenAsAList() throws {
    #expect(ToolLimits(settingText: "") == ToolLimits())
    #expect(ToolLimits(settingText: "web_extract=4, calculate=1")?.byTool == ["web_extract": 4, "calculate": 1])
    #expect(ToolLimits(settingText: "b=2,a=1")?.settingText == "a=1,b=2")
    for text in ["a", "a=", "a=0", "a=-1", "a=x", "=1", "a=1=2", "a=1,a=2"] {
      #expect(ToolLimits(settingText: text) == nil, "\(text)")
    }
    try ToolLimits(["a": 1]).check(["a", "b"])
    #expect { try ToolLimits(["c": 1]).check(["a", "b"]) } throws: {
      "\($0)" == "--tool-limit: \"c\" is not one of the tools a, b"
    }
  }

  @Test func everyLimitCanBeSet() throws {
    let declared: [any SettingDeclaration] = [
      QueueTerms.toolLimit, QueueTerms.defaultToolLimit, QueueTerms.toolQueue, QueueTerms.fairnessWeight,
      ExecutionSettings.ageingInterval,
    ]
    func settings(_ arguments: [String]) throws -> Settings {
      try Settings(declared, arguments: arguments, environment: [:])
    }
    let standard = try QueueTerms(settings([]), tools: [])
    #expect(standard.fairnessWeight == 10 && standard.places.limit(of: "a") == 64)
    #expect(standard.toolQueue == 64)
    let given = try settings(["--tool-limit", "a=2", "--default-tool-limit=3", "--fairness-weight=0"])
    let terms = try QueueTerms(given, tools: ["a"])
    #expect(terms.fairnessWeight == 0 && terms.places.limit(of: "a") == 2 && terms.places.limit(of: "b") == 3)
    #expect(given[ExecutionSettings.ageingInterval] == .seconds(10))
    for wrong in [
      "--default-tool-limit=0", "--fairness-weight=-1", "--ageing-interval=0s", "--tool-limit=a", "--tool-queue=0",
    ] {
      #expect(throws: SettingError.self) { try settings([wrong]) }
    }
  }
}

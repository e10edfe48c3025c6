public import Storage

/// The engines a store's tests run on: `@Test(arguments: TestEngine.allCases)`.
public enum TestEngine: String, CaseIterable, Sendable {
  case sqlite
}

/// A place of its own for one database, which goes with the last reference. It can be opened again after it was closed.
public final class TestStore: Sendable {
  public let location: DatabaseLocation
  private let folder: TemporaryFolder

  public init(_ engine: TestEngine) async throws {
    folder = try TemporaryFolder("store")
    location = .sqlite(path: folder.file("test.sqlite3"))
  }

  public func open(_ migrations: [Migration], options: DatabaseOptions = .init()) async throws -> Database {
    try await Database.open(location, migrations: migrations, options: options)
  }
}

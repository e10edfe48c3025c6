/// A condition that did not come true in time.
public struct NeverHappened: Error, CustomStringConvertible {
  public let description: String

  public init(description: String) { self.description = description }
}

/// Waits until a condition holds, looking often; throws when it still does not at the end of a generous limit.
/// For what only another process or thread can bring about and nothing announces.
public func eventually(
  _ what: String, within limit: Duration = .seconds(30), _ condition: () async throws -> Bool
) async throws {
  let clock = ContinuousClock()
  let end = clock.now + limit
  while try await !condition() {
    guard clock.now < end else { throw NeverHappened(description: "\(what): not within \(limit)") }
    try await Task.sleep(for: .milliseconds(2))
  }
}

import RPC
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(2)))
struct DefaultDeadlineTests {
  /// Tells how long its call may take, in seconds; `never` if for ever.
  private static var router: Router {
    var router = Router()
    router.unary(Echo.say) { _, _ in
      guard let deadline = Deadline.current, deadline != .never else { return "never" }
      return "\(deadline.remaining.components.seconds)"
    }
    return router
  }

  @Test(arguments: [
    (nil, nil, nil, "never"), (100, nil, nil, "99"), (100, nil, 500, "499"), (nil, 200, nil, "199"),
    (nil, 200, 500, "199"), (100, 200, nil, "99"), (100, 200, 150, "149"), (300, 200, nil, "199"),
  ] as [(Int?, Int?, Int?, String)])
  func atTheServer(timeout: Int?, maximum: Int?, callers: Int?, expected: String) async throws {
    let interceptor = DefaultDeadline(timeout.map { .seconds($0) }, maximum: maximum.map { .seconds($0) })
    try await withPair(Self.router, interceptors: [interceptor]) { (client, _) async throws in
      let options = callers.map { CallOptions.timeout(.seconds($0)) } ?? .init()
      let answer = try await client.unary(Echo.say, "", options)
      // A loaded machine may take seconds from the caller's.
      let (left, most) = (Int(answer), Int(expected))
      #expect(answer == expected || ((most ?? 0) - 20...(most ?? 0)).contains(left ?? -100))
    }
  }

  @Test func aCallThatTakesLongerIsEnded() async throws {
    for interceptors in [
      [DefaultDeadline(.milliseconds(50))], [DefaultDeadline(maximum: .milliseconds(50))],
      // The shortest counts, in whatever order.
      [DefaultDeadline(.milliseconds(50)), DefaultDeadline(.seconds(600))],
      [DefaultDeadline(.seconds(600)), DefaultDeadline(maximum: .milliseconds(50))],
    ] {
      let (started, cancelled) = (Gate(), Gate())
      try await withPair(DeadlineTests.waiting(started, cancelled), interceptors: interceptors) {
        (client, _) async throws in
        let end = await status { try await client.unary(Echo.say, "a") }
        #expect(end?.code == .deadlineExceeded)
        #expect(end?.message == "the deadline passed at the server")
        await cancelled.wait()
      }
    }
  }

  @Test func servicesCanBeLeftOut() async throws {
    let interceptor = DefaultDeadline(.seconds(100), except: ["test.Echo"])
    try await withPair(Self.router, interceptors: [interceptor]) { (client, _) async throws in
      #expect(try await client.unary(Echo.say, "") == "never")
    }
  }

  @Test func atTheClient() async throws {
    let (started, cancelled) = (Gate(), Gate())
    try await withPair(
      DeadlineTests.waiting(started, cancelled), clientInterceptors: [DefaultDeadline(.milliseconds(200))]
    ) { (client, _) async throws in
      #expect(await status { try await client.unary(Echo.say, "a") }?.code == .deadlineExceeded)
    }
    try await withPair(Self.router, clientInterceptors: [DefaultDeadline(.seconds(100), maximum: .seconds(200))]) {
      (client, _) async throws in
      for (callers, most) in [(nil, 99), (150, 149), (500, 199)] as [(Int?, Int)] {
        let options = callers.map { CallOptions.timeout(.seconds($0)) } ?? .init()
        let left = try #require(Int(try await client.unary(Echo.say, "", options)))
        #expect((most - 20...most).contains(left))
      }
    }
  }
}

import Foundation
import Messages
import NIOHTTP1
import Synchronization
import TestSupport
import Testing

@testable import BuddyCLI

@Suite("Questions and their answers", .timeLimit(.minutes(1)))
struct AnswerTests {
  private static let choice = Question(kind: .choice, options: ["2", "Again", "skip"])

  @Test("an answer is read as the question wants it", arguments: [
    (Question(kind: .yesNo), " Y ", .yes(true)), (Question(kind: .yesNo), "no", .yes(false)),
    (choice, "2", .choice("2")), (choice, "again", .choice("Again")), (choice, "3", .choice("skip")),
    (Question(kind: .text), " two words ", .text("two words")), (Question(kind: .number), "-1.5e3", .number(-1500)),
  ] as [(Question, String, Answer.Value)])
  func parses(_ question: Question, _ text: String, _ value: Answer.Value) {
    #expect(AnswerText.parse(text, for: question) == .success(Answer(value: value)))
  }

  @Test("what is no answer is said to be none", arguments: [
    (Question(kind: .yesNo), "maybe"), (choice, "4"), (choice, "0"), (choice, ""), (Question(kind: .text), "  "),
    (Question(kind: .text), String(repeating: "x", count: 10_001)), (Question(kind: .number), "many"),
    (Question(kind: .number), "inf"), (Question(), "x"),
  ])
  func refuses(_ question: Question, _ text: String) {
    #expect(AnswerText.parse(text, for: question) == .failure(.init(description: AnswerText.rule(question))))
  }

  @Test("a question cannot move the reader's cursor")
  func sanitized() {
    let question = Question(prompt: "a\u{1B}[2J?", kind: .choice, options: ["b\nc"])
    #expect(QuestionText.lines(question) == "a\\x1b[2J?\n  1  b c")
  }

  /// A gateway with one mission that asks until it is answered; the answers it got.
  private static func asking(
    kind: String = "YES_NO", refusing refused: String? = nil,
    _ body: @escaping @Sendable (PeerGateway, Int) async throws -> Void
  ) async throws {
    let isOpen = Mutex(true)
    let question =
      #"{"id":"q-1","step":"STEP_EXECUTION","prompt":"Did it arrive?","kind":"ANSWER_KIND_\#(kind)"}"#
    try await PeerGateway.with { request, reply in
      switch request.path {
      case "/api/v1/missions": try await reply.json(#"{"id":"m-1","state":"MISSION_STATE_APPROVED"}"#, .created)
      case "/api/v1/missions/m-1/answer":
        if let refused, String(decoding: request.body, as: UTF8.self).contains(refused) {
          return try await reply.json(#"{"error":{"code":"INVALID_ARGUMENT","message":"not so"}}"#, .badRequest)
        }
        isOpen.withLock { $0 = false }
        try await reply.json(#"{"id":"m-1","state":"MISSION_STATE_RUNNING"}"#)
      case "/api/v1/missions/m-1/events":
        try await reply.events()
        try await reply.event(1, type: "state_changed", #","state":"MISSION_STATE_RUNNING""#)
        try await reply.event(
          2, type: "state_changed", #","state":"MISSION_STATE_AWAITING_INPUT","question":\#(question)"#)
        try await eventually("the question is answered") { !isOpen.withLock { $0 } }
        try await reply.event(3, type: "state_changed", #","state":"MISSION_STATE_SUCCEEDED""#)
        try await reply.lastEvent()
      case "/api/v1/missions/m-1":
        let open = isOpen.withLock { $0 }
        try await reply.json(
          open ? #"{"id":"m-1","state":"MISSION_STATE_AWAITING_INPUT","question":\#(question)}"#
            : #"{"id":"m-1","state":"MISSION_STATE_SUCCEEDED"}"#)
      default: try await reply.json("{}")
      }
    } _: { gateway, port in
      try await body(gateway, port)
    }
  }

  private static func answers(_ gateway: PeerGateway) -> [String] {
    gateway.requests.filter { $0.path.hasSuffix("/answer") }.map { request in
      let body = (try? JSONSerialization.jsonObject(with: Data(request.body))) as? [String: Any]
      let answer = body?["answer"] as? [String: Any]
      return "\(body?["questionId"] ?? "") \(answer?.map { "\($0.key)=\($0.value)" }.joined() ?? "")"
    }
  }

  /// A console at which somebody types these lines, one after the other.
  private static func typing(_ lines: [String], on paper: Paper) -> Console {
    let left = Mutex(lines)
    var console = paper.console(terminal: true)
    console.readLine = { left.withLock { $0.isEmpty ? nil : $0.removeFirst() } }
    return console
  }

  @Test("a run at a terminal asks, says what is wrong with an answer, and goes on with the right one")
  func asksAtTerminal() async throws {
    let paper = Paper()
    try await Self.asking { gateway, port in
      let order = MissionOrder(request: SubmitMissionRequest(objective: "x"), inputs: [], idempotencyKey: "k")
      let console = Self.typing(["perhaps", "yes"], on: paper)
      let reason = try await GatewayClientTests.client(port) {
        try await MissionRun(gateway: $0, console: console, order: order).run()
      }
      #expect(reason == .success)
      #expect(Self.answers(gateway) == ["q-1 yes=1"])
      #expect(paper.errors.contains("Did it arrive?\nyes or no: the answer is yes or no\nyes or no: "))
    }
  }

  @Test("what the service does not take is asked again")
  func asksAgain() async throws {
    let paper = Paper()
    try await Self.asking(kind: "NUMBER", refusing: "-2.5") { gateway, port in
      let display = ProgressDisplay(paper.console())
      try await GatewayClientTests.client(port) { client in
        let desk = QuestionDesk(
          gateway: client, console: Self.typing(["-2.5", "4.5"], on: paper), display: display, mission: "m-1")
        await desk.ask(Question(id: "q-1", prompt: "How many?", kind: .number))
      }
      #expect(Self.answers(gateway) == ["q-1 number=-2.5", "q-1 number=4.5"])
      #expect(paper.errors.contains("buddy: INVALID_ARGUMENT: not so"))
    }
  }

  @Test("without a terminal a run says how to answer, and waits")
  func saysHow() async throws {
    let paper = Paper()
    try await Self.asking { gateway, port in
      let order = MissionOrder(request: SubmitMissionRequest(objective: "x"), inputs: [], idempotencyKey: "k")
      try await GatewayClientTests.client(port) { client in
        async let reason = MissionRun(gateway: client, console: paper.console(), order: order).run()
        try await eventually("the question is shown") { paper.errors.contains("buddy mission answer m-1 yes|no") }
        _ = try await AnswerRun(
          gateway: client, console: paper.console(), mission: "m-1", mark: CommandMark(requestID: "r")
        ).run("no")
        let ended = try await reason
        #expect(ended == .success)
      }
      #expect(Self.answers(gateway) == ["q-1 yes=0"])
      #expect(paper.errors.contains("the mission asks: Did it arrive?"))
    }
  }

  @Test("a question that somebody else answers is asked no more")
  func withdrawn() async throws {
    let paper = Paper()
    try await Self.asking { gateway, port in
      let order = MissionOrder(request: SubmitMissionRequest(objective: "x"), inputs: [], idempotencyKey: "k")
      let asked = Mutex(false)
      let isOver = Mutex(false)
      var console = paper.console(terminal: true)
      console.readLine = {
        asked.withLock { $0 = true }
        defer { isOver.withLock { $0 = true } }
        try await Task.sleep(for: .seconds(3600))
        return nil
      }
      try await GatewayClientTests.client(port) { [console] client in
        async let reason = MissionRun(gateway: client, console: console, order: order).run()
        try await eventually("it is asked") { asked.withLock { $0 } }
        let mark = CommandMark(requestID: "r")
        _ = try await client.answer("m-1", question: "q-1", Answer(value: .yes(true)), mark)
        let ended = try await reason
        #expect(ended == .success)
      }
      #expect(isOver.withLock { $0 })
      #expect(Self.answers(gateway).count == 1)
    }
  }

  @Test("an answer that the question does not take is not sent; a mission that asks nothing is not answered")
  func refusesWrong() async throws {
    try await Self.asking { gateway, port in
      try await GatewayClientTests.client(port) { client in
        let paper = Paper()
        func run(_ text: String?, question: String? = nil) async throws {
          _ = try await AnswerRun(
            gateway: client, console: paper.console(), mission: "m-1", question: question,
            mark: CommandMark(requestID: "r")
          ).run(text)
        }
        let wrong = await #expect(throws: CommandError.self) { try await run("maybe") }
        #expect(wrong?.exit == .usage)
        let missing = await #expect(throws: CommandError.self) { try await run(nil) }
        #expect(missing?.exit == .usage && paper.errors == "Did it arrive?\n")
        let other = await #expect(throws: CommandError.self) { try await run("yes", question: "q-0") }
        #expect(other?.code == "FAILED_PRECONDITION")
        #expect(Self.answers(gateway) == [])
        try await run("yes")
        let closed = await #expect(throws: CommandError.self) { try await run("yes") }
        #expect(closed?.message == "mission m-1 asks nothing; it is succeeded")
      }
    }
  }
}

import HTTP2
import NIOCore

/// Makes the attempts of one call with a policy, as its plan says. Each attempt is a `ClientCall` of its own; the
/// caller's call takes over the stream of the one it is committed to, and from then on nothing of this is left.
///
/// `@unchecked Sendable`: only touched on the call's loop.
final class AttemptRunner: @unchecked Sendable {
  /// How many attempts were made before: to the server with a request's headers, to the caller with a response's.
  static let countName = "grpc-previous-rpc-attempts"

  private let state: RetryState
  private let options: CallOptions
  private var request: ByteBuffer?
  /// The caller's; nil once that needs no more attempts.
  private var call: ClientCall?
  private var plan: AttemptPlan
  private var replay: ReplayBuffer
  private var hasOverflowed = false
  private(set) var attempts: [Int: ClientCall] = [:]
  private var timer: Scheduled<Void>?
  private var lastStatus: Status?

  /// - Parameters:
  ///   - call: The caller's.
  ///   - request: The framed request, where it is one message.
  init(
    _ policy: AttemptPlan.Policy, of call: ClientCall, options: CallOptions, request: ByteBuffer?, state: RetryState
  ) {
    self.call = call
    self.options = options
    self.request = request.map { call.compression.apply(to: $0, nil) }
    self.state = state
    plan = AttemptPlan(policy, deadline: call.deadline?.nanoseconds ?? .max)
    replay = ReplayBuffer(limit: state.channel.options.replayBytes, budget: state.budget)
  }

  /// The call has arrived at its loop.
  func begin() {
    guard let call, !call.isOver else { return }
    state.channel.uncommitted[ObjectIdentifier(self)] = self
    if let request {
      self.request = nil
      hasOverflowed = !replay.append(request)
      replay.isEnded = true
    }
    perform(plan.begin(now: Deadline.now, state.bucket))
  }

  // MARK: - What the plan says

  private func perform(_ actions: [AttemptPlan.Action]) {
    for action in actions {
      guard let call else { return }
      switch action {
      case .start(let number, let previous): if !isClosed { start(number, previous) }
      case .cancel(let number): attempts.removeValue(forKey: number)?.abandonAttempt()
      case .wake: wake()
      case .commit(let number):
        guard let attempt = attempts.removeValue(forKey: number) else { continue }
        leave()
        call.adopt(attempt)
      case .finish: call.finish(lastStatus ?? Status(.internalError, "no attempt was made"))
      }
    }
    if isClosed { call?.finish(ClientChannel.closedStatus) }
  }

  private func start(_ number: Int, _ previous: Int) {
    guard let call else { return }
    var options = options
    options.deadline = call.deadline
    if previous > 0 { options.metadata.add(String(previous), for: Self.countName) }
    let attempt = ClientCall(
      channel: state.channel, path: call.path, options: options, request: nil, hasOneResponse: true)
    attempt.attempt = .init(runner: self, number: number, previous: previous)
    attempts[number] = attempt
    state.channel.submit(attempt)
  }

  /// An attempt may fail while it is started, so the plan may have moved on since it asked to be woken.
  private func wake() {
    timer?.cancel()
    timer = nil
    guard let time = plan.wakeAt else { return }
    timer = state.channel.loop.scheduleTask(deadline: Deadline(nanoseconds: time).moment) {
      self.perform(self.plan.woke(now: Deadline.now, self.state.bucket))
    }
  }

  // MARK: - What becomes of the attempts

  /// The request as it is so far, for a stream that is about to be opened.
  func output() -> StreamOutput {
    // The stream exists when this turn is over.
    if hasOverflowed { state.channel.loop.execute { self.commitIfOverflowed() } }
    return replay.output()
  }

  /// The server's headers came, and are not all.
  func answered(_ number: Int, _ headers: Event.Headers) {
    guard let call else { return }
    perform(plan.answered(number))
    call.receivedHeaders(headers)
  }

  func ended(_ number: Int, _ status: Status) {
    attempts[number] = nil
    lastStatus = status
    guard status.code != .ok else { return perform(plan.succeeded(number)) }
    let pushback = AttemptPlan.Pushback(status.metadata["grpc-retry-pushback-ms"])
    perform(plan.failed(number, status.code, pushback, now: Deadline.now, jitter: jitter, &state.bucket))
  }

  func refused(_ number: Int, neverLeft: Bool) {
    attempts[number] = nil
    lastStatus = .refusedStream
    perform(plan.refused(number, neverLeft: neverLeft, now: Deadline.now, jitter: jitter, &state.bucket))
  }

  private var jitter: Double { Double.random(in: -1...1) }

  // MARK: - What the caller does

  /// Whether the caller may send on: once no more can be kept, it waits for the one attempt that is left.
  var hasRoom: Bool { !hasOverflowed }

  func append(_ frame: ByteBuffer) {
    if !replay.append(frame) { hasOverflowed = true }
    for attempt in attempts.values { attempt.append(frame) }
    commitIfOverflowed()
  }

  func halfClose() {
    guard !replay.isEnded else { return }
    replay.isEnded = true
    for attempt in attempts.values where attempt.stream != 0 { attempt.halfClose() }
  }

  /// The attempt that has come furthest goes on alone, if there is one; else the next one will.
  private func commitIfOverflowed() {
    guard hasOverflowed, call != nil else { return }
    let open = attempts.filter { $0.value.stream != 0 }
    guard let first = open.min(by: { unsent($0) < unsent($1) }) else { return }
    perform(plan.overflowed(first.key))
  }

  private func unsent(_ attempt: (key: Int, value: ClientCall)) -> (Int, Int) {
    (attempt.value.output?.bufferedBytes ?? .max, attempt.key)
  }

  /// For the status when the deadline passes.
  var lateness: String {
    guard let lastStatus else { return "the deadline passed" }
    return "the deadline passed; the last of \(plan.attempts) attempts failed: \(lastStatus)"
  }

  /// The client was closed: no more attempts are made.
  /// - Parameter aborting: End those under way; otherwise they finish.
  func close(aborting: Bool) {
    if aborting || isClosed { call?.finish(ClientChannel.closedStatus) }
  }

  /// No more attempts are made, and none is under way.
  private var isClosed: Bool { state.channel.isClosed && attempts.isEmpty }

  /// The call is over, or committed to an attempt.
  func leave() {
    call = nil
    timer?.cancel()
    timer = nil
    replay.release()
    state.channel.uncommitted[ObjectIdentifier(self)] = nil
  }

  /// The call is over: so are its attempts.
  func callEnded() {
    leave()
    let rest = attempts.values
    attempts = [:]
    for attempt in rest { attempt.abandonAttempt() }
  }
}

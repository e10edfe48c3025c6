import Messages
import NIOCore
import NIOPosix
import RPC
import Stubs

/// Watches of the progress service on which nothing happens, a hundred on a connection.
struct IdleWatchers {
  private static let perConnection = 100

  let count: Int
  let progressPort: Int
  let adminPort: Int
  let missions: MissionsClient

  /// - Returns: How much memory each takes in the progress service, in KiB.
  func measure(_ group: MultiThreadedEventLoopGroup) async throws -> Double {
    let ids = try await waitingMissions(100)
    var clients: [Client] = []
    var watches: [Task<Void, Never>] = []
    func add(_ number: Int) {
      for index in 0..<number {
        if index % Self.perConnection == 0 { clients.append(Client(host: "127.0.0.1", port: progressPort)) }
        let (client, id) = (clients[clients.count - 1], ids[index % ids.count])
        watches.append(Task { await Self.watch(client, id) })
      }
    }
    // What the first watchers bring about is there once, however many follow.
    add(Self.perConnection)
    try await untilWatching(watches.count, group)
    let before = try await metric("process_resident_memory_bytes", group)
    add(count)
    try await untilWatching(watches.count, group)
    let after = try await metric("process_resident_memory_bytes", group)
    let each = (after - before) / Double(count) / 1024
    print(
      "\(count) idle watchers of the progress service over \(clients.count - 1) connections: resident memory "
        + "\(Int(before / 1024 / 1024)) MiB before, \(Int(after / 1024 / 1024)) MiB after: \(decimal(each)) KiB each")
    for watch in watches { watch.cancel() }
    for client in clients { await client.close() }
    return each
  }

  /// Missions that nobody approves.
  private func waitingMissions(_ number: Int) async throws -> [String] {
    var ids: [String] = []
    for _ in 0..<number {
      let wish = SubmitMissionRequest(objective: "What is 1 + 1?", owner: "progress-bench", requireApproval: true)
      ids.append(try await missions.submit(wish).id)
    }
    return ids
  }

  private static func watch(_ client: Client, _ mission: String) async {
    while !Task.isCancelled {
      do {
        for try await _ in try await ProgressClient(client).watch(WatchEventsRequest(missionId: mission)) {}
      } catch {
        // The mission may not have reached the progress service yet.
        try? await Task.sleep(for: .milliseconds(100))
      }
    }
  }

  private func untilWatching(_ number: Int, _ group: MultiThreadedEventLoopGroup) async throws {
    let end = ContinuousClock.now + .seconds(120)
    while try await metric("buddy_progress_subscribers", group) < Double(number) {
      guard ContinuousClock.now < end else { throw Status(.deadlineExceeded, "not all \(number) watches came") }
      try await Task.sleep(for: .milliseconds(100))
    }
    // Until the last of their headers and first events are through.
    try await Task.sleep(for: .seconds(2))
  }

  /// A value of the progress service's /metrics.
  private func metric(_ name: String, _ group: MultiThreadedEventLoopGroup) async throws -> Double {
    let channel = try await ClientBootstrap(group: group).connect(host: "127.0.0.1", port: adminPort) { channel in
      channel.eventLoop.makeCompletedFuture {
        try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
      }
    }
    let answer = try await channel.executeThenClose { inbound, outbound in
      try await outbound.write(
        ByteBuffer(string: "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
      var text = ""
      for try await bytes in inbound { text += String(buffer: bytes) }
      return text
    }
    let lines = answer.split(whereSeparator: \.isNewline)
      .filter { $0.hasPrefix("\(name) ") || $0.hasPrefix("\(name){") }
    guard !lines.isEmpty else { throw Status(.notFound, "there is no \(name) in /metrics") }
    return lines.reduce(0) { $0 + (Double($1.split(separator: " ").last ?? "") ?? 0) }
  }
}

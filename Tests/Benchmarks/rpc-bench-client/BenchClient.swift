import Foundation
import Messages
import NIOPosix
import RPC
import Stubs

/// The client's part in `make bench-rpc`:
///
///     rpc-bench-client calls PORT CONNECTIONS OUTSTANDING CALLS
///     rpc-bench-client idle PORT CONNECTIONS STREAMS
///
/// `calls` makes unary calls as fast as they go and prints calls a second; `idle` opens so many streams on each
/// connection, says so, and holds them until stdin ends.
@main
enum BenchClient {
  static func main() async throws {
    let arguments = CommandLine.arguments
    let numbers = arguments.dropFirst(2).compactMap { Int($0) }
    switch (arguments.dropFirst().first, numbers.count) {
    case ("calls", 4):
      let load = Load(connections: connect(numbers[0], numbers[1]), outstanding: numbers[2], calls: numbers[3])
      print("\(Int(try await load.run())) calls/s")
    case ("idle", 3):
      await holdIdle(connect(numbers[0], numbers[1]), streams: numbers[2])
    default:
      print("usage: rpc-bench-client calls|idle PORT CONNECTIONS OUTSTANDING [CALLS]")
      exit(64)
    }
  }

  /// One thread for all connections, as the peer has.
  private static func connect(_ port: Int, _ count: Int) -> [EchoClient] {
    let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
    return (0..<count).map { _ in EchoClient(Client(host: "127.0.0.1", port: port, group: group)) }
  }

  /// Every stream has had one message each way, then waits at the server for the next.
  private static func holdIdle(_ connections: [EchoClient], streams: Int) async {
    await withDiscardingTaskGroup { tasks in
      let (opened, report) = AsyncStream.makeStream(of: Void.self)
      for connection in connections {
        for _ in 0..<streams {
          tasks.addTask {
            do {
              try await hold(connection) { report.yield() }
            } catch {
              print("a stream ended: \(error)")
              exit(70)
            }
          }
        }
      }
      var count = 0
      for await _ in opened {
        count += 1
        if count == connections.count * streams { break }
      }
      print("holding \(count) streams")
      fflush(nil)
      _ = readLine()
      exit(0)
    }
  }
}

struct WrongAnswer: Error {}

extension BenchClient {
  private static func hold(_ connection: EchoClient, _ opened: @Sendable () -> Void) async throws {
    try await connection.chat { requests, responses in
      var answers = responses.makeAsyncIterator()
      try await requests.write(EchoMessage(text: "hello"))
      guard try await answers.next()?.text == "hello" else { throw WrongAnswer() }
      opened()
      _ = try await answers.next()
    }
  }
}

/// Unary calls over several connections, a fixed number outstanding on each.
struct Load {
  let connections: [EchoClient]
  let outstanding: Int
  let calls: Int

  /// - Returns: Calls a second.
  func run() async throws -> Double {
    for connection in connections { try await Self.call(connection) }
    let lanes = connections.count * outstanding
    let start = ContinuousClock.now
    try await withThrowingTaskGroup(of: Void.self) { tasks in
      for lane in 0..<lanes {
        let connection = connections[lane % connections.count]
        let share = (calls + lanes - 1 - lane) / lanes
        tasks.addTask {
          for _ in 0..<share { try await Self.call(connection) }
        }
      }
      try await tasks.waitForAll()
    }
    return Double(calls) / (ContinuousClock.now - start).seconds
  }

  private static func call(_ connection: EchoClient) async throws {
    guard try await connection.say(EchoMessage(text: "hello")).text == "hello" else { throw WrongAnswer() }
  }
}

extension Duration {
  var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}

import Glibc
import NIOCore
import RPC

/// The methods of the service under attack: requests and responses are bytes.
enum Target {
  /// Of a message that is asked for.
  private static let maximumSize = 64 << 20
  private static let bytes = Codec<ByteBuffer>.bytes
  private static let say = method("Say")
  private static let collect = method("Collect")
  private static let expand = method("Expand")
  private static let stubborn = method("Stubborn")
  private static let unread = method("Unread")
  private static let block = method("Block")

  private static func method(_ name: String) -> Method<ByteBuffer, ByteBuffer> {
    Method("/test.Target/\(name)", request: bytes, response: bytes)
  }

  static var router: Router {
    var router = Router()
    router.unary(say) { request, _ in request }
    router.clientStreaming(collect) { requests, _ in
      var count = 0
      for try await request in requests { count += request.readableBytes }
      return ByteBuffer(string: "\(count)")
    }
    // "count size": that many messages of that many bytes.
    router.serverStreaming(expand) { request, responses, _ in
      let numbers = String(buffer: request).split(separator: " ").compactMap { Int($0) }
      guard numbers.count == 2, numbers[0] >= 0, (0...maximumSize).contains(numbers[1]) else {
        throw Status(.invalidArgument, "expected a count and a size, of at most \(maximumSize) bytes")
      }
      let message = ByteBuffer(repeating: 1, count: numbers[1])
      for _ in 0..<numbers[0] { try await responses.write(message) }
    }
    // A handler that does not end when it is cancelled, but two seconds after it began.
    router.unary(stubborn) { request, _ in
      await Task.detached { try? await Task.sleep(for: .seconds(2)) }.value
      return request
    }
    // A handler that never reads.
    router.clientStreaming(unread) { _, _ in
      try await Task.sleep(for: .seconds(3_600))
      return ByteBuffer()
    }
    // A handler that does what none may: it keeps its loop's thread for that many milliseconds, a minute at most.
    router.unary(block) { request, _ in
      usleep(1_000 * min(UInt32(String(buffer: request)) ?? 0, 60_000))
      return request
    }
    return router
  }

  /// Makes one call and tells what came of it.
  static func call(_ name: String, _ client: Client, _ timeout: Duration) async throws -> String {
    switch name {
    case "Expand":
      var count = 0
      let stream = try await client.serverStreaming(expand, ByteBuffer(string: "1 1"), .timeout(timeout))
      for try await message in stream { count += message.readableBytes }
      return "\(count)"
    default: return String(buffer: try await client.unary(say, ByteBuffer(string: "hello"), .timeout(timeout)))
    }
  }
}

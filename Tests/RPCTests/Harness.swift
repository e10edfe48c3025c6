import NIOConcurrencyHelpers
import NIOCore
import RPC
import TestSupport
import Testing

/// Texts as messages: their UTF-8 bytes.
let text = Codec<String>(
  decode: { buffer in
    guard let text = buffer.getString(at: buffer.readerIndex, length: buffer.readableBytes) else { throw BadText() }
    if text == "undecodable" { throw BadText() }
    return text
  },
  encode: { message, buffer in
    if message == "unencodable" { throw BadText() }
    buffer.writeString(message)
  })

struct BadText: Error {}

enum Echo {
  static let say = Method("/test.Echo/Say", request: text, response: text)
  static let expand = Method("/test.Echo/Expand", request: text, response: text)
  static let collect = Method("/test.Echo/Collect", request: text, response: text)
  static let chat = Method("/test.Echo/Chat", request: text, response: text)
  static let blob = Method("/test.Echo/Blob", request: Codec<ByteBuffer>.bytes, response: Codec<ByteBuffer>.bytes)
  static let missing = Method("/test.Echo/Missing", request: text, response: text)

  /// A service with all four kinds of calls.
  static var router: Router {
    var router = Router()
    router.unary(say) { request, _ in request }
    router.unary(blob) { request, _ in request }
    router.serverStreaming(expand) { request, responses, _ in
      let count = Int(request.split(separator: " ")[0]) ?? 0
      for number in 0..<count { try await responses.write("\(number)") }
    }
    router.clientStreaming(collect) { requests, _ in
      var all = ""
      for try await request in requests { all += request }
      return all
    }
    router.bidirectional(chat) { requests, responses, _ in
      for try await request in requests { try await responses.write("re: \(request)") }
    }
    return router
  }
}

/// Runs a server and a client over loopback for the length of `body`.
func withPair<Result>(
  _ router: Router = Echo.router, server options: ServerOptions = .init(),
  client clientOptions: ClientOptions = .init(),
  interceptors: [any ServerInterceptor] = [], clientInterceptors: [any ClientInterceptor] = [],
  _ body: (Client, BoundAddress) async throws -> Result
) async throws -> Result {
  let server = Server(router: router, options: options, interceptors: interceptors)
  let address = try await server.start(host: "127.0.0.1", port: 0)
  let client = Client(
    host: address.host, port: address.port, options: clientOptions, interceptors: clientInterceptors)
  do {
    let result = try await body(client, address)
    await client.close()
    await server.shutdown(grace: .zero)
    return result
  } catch {
    await client.close()
    await server.shutdown(grace: .zero)
    throw error
  }
}

/// The status that `body` fails with.
func status(_ body: () async throws -> some Any) async -> Status? {
  do {
    _ = try await body()
    return nil
  } catch {
    return error as? Status ?? Status(.unknown, "not a Status: \(error)")
  }
}

/// Opens once; whoever waits before that is let through then.
actor Gate {
  private var isOpen = false
  private var waiting: [CheckedContinuation<Void, Never>] = []

  func open() {
    isOpen = true
    for continuation in waiting { continuation.resume() }
    waiting = []
  }

  func wait() async {
    if isOpen { return }
    await withCheckedContinuation { waiting.append($0) }
  }
}

/// A number that tasks share.
final class Counter: Sendable {
  private let number = NIOLockedValueBox(0)
  var value: Int { number.withLockedValue { $0 } }
  func add(_ amount: Int) { number.withLockedValue { $0 += amount } }
}

/// Handlers of `Say` that take a few turns of their loop, and how many of them run at once.
final class Crowd: Sendable {
  private let state = NIOLockedValueBox((now: 0, most: 0))
  var most: Int { state.withLockedValue { $0.most } }

  var router: Router {
    var router = Router()
    router.unary(Echo.say) { [state] request, _ in
      state.withLockedValue {
        $0.now += 1
        $0.most = max($0.most, $0.now)
      }
      defer { state.withLockedValue { $0.now -= 1 } }
      for _ in 0..<10 { await Task.yield() }
      return request
    }
    return router
  }
}

/// Waits until what a writer has written is above zero and has stopped growing.
func settled(_ written: () -> Int) async throws {
  var (last, same) = (0, 0)
  try await eventually("the writer waits") {
    let now = written()
    same = now == last && now > 0 ? same + 1 : 0
    last = now
    return same >= 50
  }
}

/// Makes a call, then starts the server that it waits for; closes both.
/// - Returns: The answer to `patience`, which is the same.
func callBeforeServer(_ client: Client, port: Int, _ options: CallOptions = .init()) async throws -> String {
  async let answer = client.unary(Echo.say, "patience", options)
  let server = Server(router: Echo.router)
  _ = try await server.start(host: "127.0.0.1", port: port)
  let result = try await answer
  await client.close()
  await server.shutdown(grace: .zero)
  return result
}

import NIOCore
import RPC
import TestSupport
import Testing

/// Requests that hold more than `maximumBufferedBytes` of their connection.
@Suite(.timeLimit(.minutes(1)))
struct RequestBudgetTests {
  /// One upload is over the limit and nobody reads it; a chat goes on; others upload all the same.
  @Test func aLivelyStreamWithoutALargeMessageIsNoHindrance() async throws {
    var options = ServerOptions()
    options.maximumBufferedBytes = 10_000
    let (release, started) = (Gate(), Counter())
    var router = Echo.router
    router.clientStreaming(Echo.collect) { requests, _ in
      started.add(1)
      await release.wait()
      var count = 0
      for try await request in requests { count += request.utf8.count }
      return "\(count)"
    }
    let blob = ByteBuffer(repeating: 7, count: 1 << 20)
    let patience = CallOptions.timeout(.seconds(30))
    try await withPair(router, server: options) { (client, _) async throws in
      let unread = Task {
        try await client.clientStreaming(Echo.collect) { requests in
          try await requests.write("whole")
          try await requests.write(String(repeating: "x", count: 1 << 20))
        }
      }
      try await eventually("the first upload is there") { started.value == 1 }
      try await client.bidirectional(Echo.chat) { requests, responses in
        var answers = responses.makeAsyncIterator()
        for number in 0..<100 {
          try await requests.write("\(number)")
          #expect(try await answers.next() == "re: \(number)")
        }
        #expect(try await client.unary(Echo.blob, blob, patience) == blob)
        // More than its window, in messages that are complete.
        let long = String(repeating: "y", count: 9_000)
        for _ in 0..<50 {
          try await requests.write(long)
          #expect(try await answers.next() == "re: " + long)
        }
      }
      #expect(try await client.unary(Echo.blob, blob, patience) == blob)
      await release.open()
      #expect(try await unread.value == "\((1 << 20) + 5)")
    }
  }
}

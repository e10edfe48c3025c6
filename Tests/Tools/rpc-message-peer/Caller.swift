import Messages
import RPC
import Stubs

/// Calls a server of the Echo service and prints what it sees, a line a call.
struct Caller {
  private let client: Client
  private let echo: EchoClient
  private let long = String(repeating: "compressible ", count: 10_000)

  init(port: Int) {
    var options = ClientOptions()
    options.userAgent = "message-peer/1"
    client = Client(host: "127.0.0.1", port: port, options: options)
    echo = EchoClient(client)
  }

  func run() async throws {
    for (name, options) in [("plain", CallOptions()), ("gzip", compressed)] {
      try await unary(name, options)
      try await streams(name, options)
    }
    try await metadata()
    await failures()
    await client.close()
  }

  private var compressed: CallOptions {
    var options = CallOptions()
    options.compression = .gzip
    return options
  }

  private func unary(_ name: String, _ options: CallOptions) async throws {
    let response = try await client.unaryResponse(EchoMethods.say, EchoMessage(text: long), options)
    print("say \(name): \(response.message.text == long) compressed \(response.wasCompressed)")
  }

  private func streams(_ name: String, _ options: CallOptions) async throws {
    var seen: [Bool] = []
    var iterator = try await echo.expand(ExpandRequest(text: long, count: 4), options).makeAsyncIterator()
    while let message = try await iterator.next() {
      if message.text == long { seen.append(iterator.isCompressed) }
    }
    print("expand \(name): \(seen)")
    let collected = try await echo.collect(options) { requests in
      for number in 0..<4 {
        try await requests.write(EchoMessage(text: long), isCompressed: number % 2 == 0)
      }
    }
    print("collect \(name): \(collected.text == String(repeating: long, count: 4))")
    let chatted = try await echo.chat(options) { requests, responses in
      var count = 0
      var iterator = responses.makeAsyncIterator()
      for text in ["a", long, ""] {
        try await requests.write(EchoMessage(text: text))
        if try await iterator.next()?.text == text { count += 1 }
      }
      return count
    }
    print("chat \(name): \(chatted)")
  }

  private func metadata() async throws {
    var metadata: Metadata = ["x-echo-text": "a b ~", "x-echo-twice": "1", "x-echo-empty": ""]
    metadata.add("2", for: "x-echo-twice")
    metadata.addBinary(Array(0...255), for: "x-echo-bytes-bin")
    metadata.addBinary([], for: "x-echo-bytes-bin")
    metadata.addBinary([1], for: "x-echo-bytes-bin")
    let response = try await client.unaryResponse(
      EchoMethods.say, EchoMessage(text: "a"), CallOptions(metadata: metadata))
    for (name, part) in [("initial", response.initialMetadata), ("trailing", response.trailingMetadata)] {
      let twice = part.all("x-echo-twice").joined(separator: "+")
      let texts: [String?] = [part["x-echo-text"], twice, part["x-echo-empty"]]
      let lengths = part.allBinary("x-echo-bytes-bin").map(\.count)
      print("\(name): \(texts.map { $0 ?? "nil" }) \(lengths) \(part.binary("x-echo-bytes-bin") == Array(0...255))")
    }
    print("agent: \(response.trailingMetadata["x-seen-agent"] ?? "")")
  }

  private func failures() async {
    for wish in ["details", "long-trailer", "long-initial", "malformed", "only"] {
      do {
        _ = try await echo.say(EchoMessage(text: "a"), CallOptions(metadata: ["x-fail": wish]))
        print("\(wish): OK")
      } catch let status as Status {
        let info = status.detail(Status.ErrorInfo.self)
        let delay = status.retryDelay.map { "\($0)" } ?? "none"
        print("\(wish): \(status.code.name) \(status.message)|\(info?.reason ?? "")|\(delay)|\(status.details.count)")
      } catch {
        print("\(wish): not a status: \(error)")
      }
    }
  }
}

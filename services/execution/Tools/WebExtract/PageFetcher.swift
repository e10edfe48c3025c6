import AsyncHTTPClient
import NIOCore
import NIOHTTP1
import NIOHTTPCompression
import NIOPosix

/// A page as it came over the network.
struct FetchedPage: Sendable {
  /// Where it was found in the end.
  let address: WebAddress
  let redirects: [String]
  let status: Int
  /// Without parameters, lowercase; empty if not sent.
  let contentType: String
  /// From the Content-Type header.
  let charset: String?
  let bytes: [UInt8]
}

/// Fetches pages from public addresses.
///
/// The name is resolved first, every address of it is checked, and the connection goes to a checked address and no
/// other: `dnsOverride` pins it, and the connection's remote address is compared once more before the request is sent.
/// So a name server that answers differently the second time (DNS rebinding) gains nothing. Redirects are followed by
/// hand, because each leads to a new address to check.
struct PageFetcher: Sendable {
  static let maximumRedirects = 5
  let options: ToolboxOptions

  typealias Progress = @Sendable (_ fraction: Double, _ message: String) async -> Void

  /// Throws `ToolError`s of `WebError`, `TOO_MANY_REDIRECTS`, `TLS_FAILED`, `BAD_RESPONSE`.
  func fetch(_ start: WebAddress, progress: @escaping Progress) async throws -> FetchedPage {
    try await withThrowingTaskGroup(of: FetchedPage.self) { group in
      group.addTask { try await follow(start, progress) }
      group.addTask {
        try await Task.sleep(for: options.fetchTimeout)
        throw WebError.timedOut(start.text, options.fetchTimeout)
      }
      defer { group.cancelAll() }
      guard let page = try await group.next() else { throw CancellationError() }
      return page
    }
  }

  private func follow(_ start: WebAddress, _ progress: @escaping Progress) async throws -> FetchedPage {
    var address = start
    var redirects: [String] = []
    while true {
      await progress(0, "Looking up \(address.host)")
      let addresses = try await checkedAddresses(of: address)
      switch try await request(address, addresses, redirects, progress) {
      case .page(let page): return page
      case .redirect(let location):
        guard redirects.count < Self.maximumRedirects else {
          throw ToolError(
            "TOO_MANY_REDIRECTS", "\(start.text.shortened(to: 120)) leads on more than \(Self.maximumRedirects) times.",
            details: ["url": start.text])
        }
        redirects.append(address.text)
        address = try address.resolve(location)
      }
    }
  }

  /// Throws `ADDRESS_REFUSED` if any address of the host is not public: a name that mixes both is up to no good.
  private func checkedAddresses(of address: WebAddress) async throws -> [IPAddress] {
    let all = if let literal = address.literal { [literal] } else { try await HostResolver.addresses(of: address.host) }
    if !options.allowPrivateAddresses {
      for candidate in all {
        if let reason = AddressGuard.refusal(candidate) { throw WebError.refused(address.host, candidate, reason) }
      }
    }
    return all
  }

  private enum Answer: Sendable {
    case page(FetchedPage)
    case redirect(String)
  }

  /// Tries up to three of the host's addresses until one takes the connection.
  private func request(
    _ address: WebAddress, _ candidates: [IPAddress], _ redirects: [String], _ progress: @escaping Progress
  ) async throws -> Answer {
    var failure: any Error = WebError.notFound(address.host)
    for candidate in candidates.prefix(3) {
      await progress(0.1, "Connecting to \(address.host)")
      do {
        return try await request(address, pinnedTo: candidate, redirects, progress)
      } catch let error as ToolError where error.code == "UNREACHABLE" {
        failure = error
      }
    }
    throw failure
  }

  private func request(
    _ address: WebAddress, pinnedTo pinned: IPAddress, _ redirects: [String], _ progress: @escaping Progress
  ) async throws -> Answer {
    let client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration(address, pinned))
    do {
      let answer = try await exchange(client, address, redirects, progress)
      try? await client.shutdown()
      return answer
    } catch {
      try? await client.shutdown()
      try Task.checkCancellation()
      throw FetchFailure.toolError(error, address, options)
    }
  }

  private func configuration(_ address: WebAddress, _ pinned: IPAddress) -> HTTPClient.Configuration {
    var configuration = HTTPClient.Configuration(
      redirectConfiguration: .disallow,
      timeout: .init(connect: .seconds(10), read: .seconds(Int64(max(1, options.fetchTimeout.components.seconds)))),
      decompression: .enabled(limit: .size(options.maximumPageBytes)))
    if address.literal == nil { configuration.dnsOverride = [address.host: pinned.description] }
    configuration.httpVersion = .http1Only
    configuration.connectionPool.retryConnectionEstablishment = false
    configuration.http1_1ConnectionDebugInitializer = { channel in
      guard let remote = channel.remoteAddress, Self.isSame(remote, pinned) else {
        return channel.eventLoop.makeFailedFuture(
          WebError.unreachable(address.host, "the connection went to another address"))
      }
      return channel.eventLoop.makeSucceededVoidFuture()
    }
    return configuration
  }

  private static func isSame(_ remote: SocketAddress, _ pinned: IPAddress) -> Bool {
    (try? SocketAddress(ipAddress: pinned.description, port: remote.port ?? 0)) == remote
  }

  private func exchange(
    _ client: HTTPClient, _ address: WebAddress, _ redirects: [String], _ progress: @escaping Progress
  ) async throws -> Answer {
    var request = HTTPClientRequest(url: address.text)
    request.headers = [
      "user-agent": "Buddy/1.0 (web_extract)", "accept": "text/html,application/xhtml+xml,text/plain;q=0.9,*/*;q=0.5",
      "accept-encoding": "gzip, deflate",
    ]
    let seconds = options.fetchTimeout.components.seconds
    let response = try await client.execute(request, deadline: .now() + .seconds(Int64(max(1, seconds))))
    let status = Int(response.status.code)
    if (300..<400).contains(status), status != 304, let location = response.headers.first(name: "location") {
      return .redirect(location)
    }
    guard status < 400 else { throw WebError.status(status, address.text) }
    let length = response.headers.first(name: "content-length").flatMap { Int($0) }
    if let length, length > options.maximumPageBytes { throw WebError.tooLarge(address.text, options.maximumPageBytes) }
    var bytes: [UInt8] = []
    for try await chunk in response.body {
      guard bytes.count + chunk.readableBytes <= options.maximumPageBytes else {
        throw WebError.tooLarge(address.text, options.maximumPageBytes)
      }
      bytes += chunk.readableBytesView
      let done = length.map { $0 > 0 ? min(1, Double(bytes.count) / Double($0)) : 1 } ?? 0.5
      await progress(0.2 + 0.8 * done, "Received \(counted(bytes.count, "byte")) from \(address.host)")
    }
    try Task.checkCancellation()
    let type = ContentType(response.headers.first(name: "content-type") ?? "")
    return .page(
      FetchedPage(
        address: address, redirects: redirects, status: status, contentType: type.name, charset: type.charset,
        bytes: bytes))
  }
}

/// A Content-Type header: `text/html; charset="utf-8"`.
struct ContentType: Sendable, Hashable {
  let name: String
  let charset: String?

  init(_ header: String) {
    let parts = header.split(separator: ";").map { String($0).trimmedWhitespace }
    name = (parts.first ?? "").lowercased()
    let parameter = parts.dropFirst().first { $0.lowercased().hasPrefix("charset=") }
    let value = parameter.map { String($0.dropFirst(8)).filter { $0 != "\"" && $0 != "'" }.trimmedWhitespace }
    charset = value.flatMap { $0.isEmpty ? nil : $0 }
  }
}

/// Gives every way a fetch can fail its code.
enum FetchFailure {
  static func toolError(_ error: any Error, _ address: WebAddress, _ options: ToolboxOptions) -> any Error {
    switch error {
    case is ToolError, is CancellationError: return error
    case let error as HTTPClientError: return client(error, address, options)
    case NIOHTTPDecompression.DecompressionError.limit: return WebError.tooLarge(address.text, options.maximumPageBytes)
    case is NIOHTTPDecompression.DecompressionError, is NIOHTTPDecompression.ExtraDecompressionError:
      return bad(address, "its compression is broken")
    case let error as HTTPParserError: return bad(address, "it is not HTTP (\(error))")
    case ChannelError.connectTimeout: return WebError.unreachable(address.host, "no connection within 10 s")
    case let error as IOError: return WebError.unreachable(address.host, reason(error))
    case let error as NIOConnectionError:
      let first = error.connectionErrors.first?.error as? IOError
      return WebError.unreachable(address.host, first.map(reason) ?? "no connection")
    default:
      // The TLS library's own error types are named without depending on it.
      if String(reflecting: type(of: error)).hasPrefix("NIOSSL") {
        return ToolError(
          "TLS_FAILED", "No secure connection to \(address.host): \("\(error)".shortened(to: 160)).",
          details: ["host": address.host])
      }
      return WebError.unreachable(address.host, "\(error)".shortened(to: 160))
    }
  }

  private static func client(_ error: HTTPClientError, _ address: WebAddress, _ options: ToolboxOptions) -> ToolError {
    switch error {
    case .connectTimeout: WebError.unreachable(address.host, "no connection within 10 s")
    case .readTimeout, .deadlineExceeded, .getConnectionFromPoolTimeout, .cancelled:
      WebError.timedOut(address.text, options.fetchTimeout)
    case .tlsHandshakeTimeout:
      ToolError(
        "TLS_FAILED", "No secure connection to \(address.host): the handshake took too long.",
        details: ["host": address.host])
    case .remoteConnectionClosed, .uncleanShutdown:
      WebError.unreachable(address.host, "it closed the connection without a full answer")
    default: bad(address, error.shortDescription)
    }
  }

  private static func bad(_ address: WebAddress, _ why: String) -> ToolError {
    ToolError("BAD_RESPONSE", "The answer of \(address.host) cannot be read: \(why).", details: ["url": address.text])
  }

  private static func reason(_ error: IOError) -> String {
    switch error.errnoCode {
    case 111: "the connection was refused"
    case 113, 101: "there is no route to it"
    case 104: "the connection was reset"
    case 110: "no connection in time"
    default: "\(error)".shortened(to: 160)
    }
  }
}

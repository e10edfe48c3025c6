/// The errors of `web_extract`, each with its stable code.
enum WebError {
  static func badURL(_ text: String) -> ToolError {
    ToolError("BAD_URL", "'\(text.shortened(to: 100))' is no web address that can be read.", details: ["url": text])
  }

  static func scheme(_ scheme: String) -> ToolError {
    ToolError(
      "UNSUPPORTED_SCHEME", "Only http and https addresses can be fetched, not \(scheme.shortened(to: 20)).",
      details: ["scheme": scheme])
  }

  static func refused(_ host: String, _ address: IPAddress, _ reason: String) -> ToolError {
    ToolError(
      "ADDRESS_REFUSED", "\(host) is \(address), \(reason); only public addresses are fetched.",
      details: ["host": host, "address": address.description])
  }

  static func notFound(_ host: String) -> ToolError {
    ToolError("HOST_NOT_FOUND", "There is no host called \(host).", details: ["host": host])
  }

  static func unreachable(_ host: String, _ why: String) -> ToolError {
    ToolError("UNREACHABLE", "\(host) cannot be reached: \(why).", details: ["host": host])
  }

  static func timedOut(_ url: String, _ limit: Duration) -> ToolError {
    ToolError(
      "TIMED_OUT", "\(url.shortened(to: 120)) did not answer within \(limit.components.seconds) s.",
      details: ["url": url])
  }

  static func tooLarge(_ url: String, _ limit: Int) -> ToolError {
    ToolError(
      "RESPONSE_TOO_LARGE", "The answer of \(url.shortened(to: 120)) is larger than \(grouped(limit)) bytes.",
      details: ["url": url, "limit": String(limit)])
  }

  static func status(_ code: Int, _ url: String) -> ToolError {
    ToolError(
      "HTTP_STATUS", "\(url.shortened(to: 120)) answered with status \(code).",
      details: ["url": url, "status": String(code)])
  }
}

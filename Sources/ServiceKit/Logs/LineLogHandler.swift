import Foundation
import Logging
import Synchronization

/// Logs one line an event. swift-log's own handler has no JSON, and lets a message break its line.
struct LineLogHandler: LogHandler {
  let label: String
  let format: LogFormat
  let write: @Sendable (String) -> Void

  var logLevel: Logger.Level = .info
  var metadata: Logger.Metadata = [:]
  var metadataProvider: Logger.MetadataProvider?

  init(
    label: String, format: LogFormat, level: Logger.Level,
    write: @escaping @Sendable (String) -> Void = { StandardError.write($0) }
  ) {
    self.label = label
    self.format = format
    self.write = write
    logLevel = level
  }

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    var all = metadata
    all.merge(metadataProvider?.get() ?? [:]) { $1 }
    all.merge(event.metadata ?? [:]) { $1 }
    if let error = event.error { all["error"] = "\(error)" }
    let pairs = all.sorted { $0.key < $1.key }
    let time = Date().formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
    switch format {
    case .text: write(Self.text(time, event, label, pairs))
    case .json: write(Self.json(time, event, label, pairs))
    }
  }

  private typealias Pairs = [(key: String, value: Logger.MetadataValue)]

  private static func text(_ time: String, _ event: LogEvent, _ label: String, _ pairs: Pairs) -> String {
    var line = "\(time) \(event.level) \(label): \(LogText.oneLine("\(event.message)"))"
    for (key, value) in pairs { line += " \(key)=\(LogText.word("\(value)"))" }
    return line + "\n"
  }

  private static func json(_ time: String, _ event: LogEvent, _ label: String, _ pairs: Pairs) -> String {
    var line = "{\"time\":\"\(time)\",\"level\":\"\(event.level)\",\"logger\":\(LogText.json(label))"
    line += ",\"message\":\(LogText.json("\(event.message)"))"
    if !pairs.isEmpty {
      let fields = pairs.map { "\(LogText.json($0.key)):\(json($0.value))" }
      line += ",\"metadata\":{\(fields.joined(separator: ","))}"
    }
    return line + "}\n"
  }

  private static func json(_ value: Logger.MetadataValue) -> String {
    switch value {
    case .dictionary(let fields):
      let pairs = fields.sorted { $0.key < $1.key }.map { "\(LogText.json($0.key)):\(json($0.value))" }
      return "{\(pairs.joined(separator: ","))}"
    case .array(let items): return "[\(items.map(json).joined(separator: ","))]"
    default: return LogText.json("\(value)")
    }
  }
}

/// Texts from anywhere, made safe for one line of a log.
enum LogText {
  /// A JSON string with its quotes (RFC 8259, section 7).
  static func json(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": result += "\\\""
      case "\\": result += "\\\\"
      case "\n": result += "\\n"
      case _ where isControl(scalar): result += "\\u" + hexadecimal(scalar)
      default: result.unicodeScalars.append(scalar)
      }
    }
    return result + "\""
  }

  /// Without line ends and without what a terminal would obey.
  static func oneLine(_ text: String) -> String {
    guard text.unicodeScalars.contains(where: isControl) else { return text }
    return text.unicodeScalars.map { isControl($0) ? ($0 == "\n" ? "\\n" : "\\u" + hexadecimal($0)) : String($0) }
      .joined()
  }

  /// Quoted where a reader could not tell where it ends.
  static func word(_ text: String) -> String {
    let isPlain = text.unicodeScalars.allSatisfy { $0 != " " && $0 != "\"" && $0 != "=" && !isControl($0) }
    return isPlain && !text.isEmpty ? text : json(text)
  }

  private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
    scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) || scalar.value == 0x2028 || scalar.value == 0x2029
  }

  private static func hexadecimal(_ scalar: Unicode.Scalar) -> String {
    let digits = String(scalar.value, radix: 16)
    return String(repeating: "0", count: 4 - digits.count) + digits
  }
}

/// Whole lines on standard error, from any thread.
enum StandardError {
  private static let lock = Mutex(())

  static func write(_ line: String) {
    var line = line
    line.withUTF8 { bytes in
      lock.withLock { _ in
        var rest = UnsafeRawBufferPointer(bytes)
        while !rest.isEmpty {
          let count = Foundation.write(STDERR_FILENO, rest.baseAddress, rest.count)
          // A log that cannot be written has nowhere to complain.
          guard count > 0 || errno == EINTR else { return }
          if count > 0 { rest = UnsafeRawBufferPointer(rebasing: rest[count...]) }
        }
      }
    }
  }
}

import Foundation
import NIOCore
import TestSupport
import Testing

@testable import RPC

@Suite(.timeLimit(.minutes(1)))
struct GzipTests {

  /// The gzip data alone.
  private func gzip(_ message: ByteBuffer) throws -> ByteBuffer {
    var result = try #require(Gzip.compress(frame: Framing.frame(message), isForced: true))
    #expect(result.readInteger(as: UInt8.self) == 1)
    #expect(result.readInteger(as: UInt32.self) == UInt32(result.readableBytes))
    return result
  }

  private func failure(_ data: ByteBuffer, limit: Int = 1 << 22) -> Status? {
    #expect(throws: Status.self) { try Gzip.decompress(data, limit: limit) }
  }

  @Test func whatGoesInComesOut() throws {
    var random = SeededRandom()
    for length in [0, 1, 2, 17, 100, 1_000, 16_383, 16_384, 16_385, 100_000, 1 << 20] {
      let noise = ByteBuffer(bytes: (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) })
      let words = ByteBuffer(bytes: (0..<length).map { _ in UInt8.random(in: 97...100, using: &random) })
      for message in [noise, words, ByteBuffer(repeating: 0, count: length)] {
        #expect(try Gzip.decompress(gzip(message), limit: length) == message)
        #expect(try Gzip.decompress(gzip(message), limit: 1 << 22) == message)
        if length > 0 { #expect(failure(try gzip(message), limit: length - 1)?.code == .resourceExhausted) }
      }
    }
  }

  @Test func whatGzipWrote() throws {
    // printf 'hello, hello, hello' | gzip -9n
    let data: [UInt8] = [
      0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3, 0xcb, 0x48, 0xcd, 0xc9, 0xc9, 0xd7, 0x51, 0xc8, 0x40, 0xa2, 0, 0x9f, 0xa1,
      0xca, 9, 0x13, 0, 0, 0,
    ]
    #expect(String(buffer: try Gzip.decompress(ByteBuffer(bytes: data), limit: 19)) == "hello, hello, hello")
    // The same with a file's name and a comment in its header.
    var named = Array(data[..<10]) + Array("a\0b\0".utf8) + Array(data[10...])
    named[3] = 0b11000
    #expect(String(buffer: try Gzip.decompress(ByteBuffer(bytes: named), limit: 100)) == "hello, hello, hello")
  }

  @Test func whatIsNotOneGzipMember() throws {
    let good = Array(try gzip(ByteBuffer(string: String(repeating: "some text ", count: 500))).readableBytesView)
    for length in 0..<good.count {
      #expect(failure(ByteBuffer(bytes: good[..<length]))?.message.contains("ends before") == true)
    }
    #expect(failure(ByteBuffer(bytes: good + [0]))?.message.contains("goes on") == true)
    #expect(failure(ByteBuffer(bytes: good + good))?.message.contains("goes on") == true)
    var random = SeededRandom()
    for index in good.indices where !(4..<10).contains(index) {  // time and system: any will do
      var bad = good
      bad[index] ^= UInt8.random(in: 1...255, using: &random)
      let status = failure(ByteBuffer(bytes: bad))
      #expect(status?.code == .internalError, "byte \(index)")
    }
    for other in ["", "plain text", "\u{78}\u{9c}"] {
      #expect(failure(ByteBuffer(string: other))?.code == .internalError)
    }
    for length in [1, 18, 100, 10_000] {
      let noise = ByteBuffer(bytes: (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) })
      #expect(failure(noise)?.code == .internalError)
    }
  }

  @Test func aBombIsLeftAloneAtTheLimit() throws {
    let bomb = try gzip(ByteBuffer(repeating: 0, count: 64 << 20))
    #expect(bomb.readableBytes < 100_000)
    #expect(failure(bomb)?.code == .resourceExhausted)
    // One that lies about its length takes no more memory for it, and no less of the limit.
    for length in [[0, 0, 0, 0], [0xFF, 0xFF, 0xFF, 0xFF], [1, 0, 0, 0]] as [[UInt8]] {
      var liar = bomb
      liar.setBytes(length, at: liar.writerIndex - 4)
      #expect(failure(liar)?.code == .resourceExhausted)
    }
    var short = try gzip(ByteBuffer(repeating: 0, count: 100))
    short.setBytes([0xFF, 0xFF, 0xFF, 0x7F], at: short.writerIndex - 4)
    #expect(failure(short)?.code == .internalError)
  }

  /// What it takes while it runs, too: 128 MiB of zeros, of which 4 MiB are allowed.
  @Test func aBombTakesNoMoreMemoryThanTheLimit() throws {
    let bomb = try gzip(ByteBuffer(repeating: 0, count: 128 << 20))
    try "5".write(toFile: "/proc/self/clear_refs", atomically: false, encoding: .utf8)  // the peak counts from here
    let before = try Self.kibibytes("VmHWM")
    #expect(failure(bomb)?.code == .resourceExhausted)
    #expect(try Self.kibibytes("VmHWM") - before < 64 * 1024)  // a sanitizer keeps several bytes for each
  }

  /// A figure of /proc/self/status.
  private static func kibibytes(_ name: String) throws -> Int {
    let status = try String(contentsOfFile: "/proc/self/status", encoding: .utf8)
    let line = try #require(status.split(separator: "\n").first { $0.hasPrefix(name + ":") })
    return try #require(Int(line.split(separator: " ")[1]))
  }

  @Test func onlyWhatGainsIsCompressed() throws {
    var random = SeededRandom()
    let policy = CompressionPolicy(algorithm: .gzip, threshold: 1_000)
    let zeros = Framing.frame(ByteBuffer(repeating: 0, count: 1_000))
    let few = Framing.frame(ByteBuffer(repeating: 0, count: 999))
    let noise = Framing.frame(ByteBuffer(bytes: (0..<5_000).map { _ in UInt8.random(in: 0...255, using: &random) }))
    #expect(policy.apply(to: zeros, nil).getInteger(at: 0, as: UInt8.self) == 1)
    #expect(policy.apply(to: zeros, nil).readableBytes < 50)
    #expect(policy.apply(to: zeros, false) == zeros)
    #expect(policy.apply(to: few, nil) == few)
    #expect(policy.apply(to: noise, nil) == noise)
    for asked in [few, noise, Framing.frame(ByteBuffer())] {
      #expect(policy.apply(to: asked, true).getInteger(at: 0, as: UInt8.self) == 1)
    }
    #expect(CompressionPolicy(algorithm: .none, threshold: 0).apply(to: zeros, true) == zeros)
  }

  @Test func manyThreadsAtOnce() async {
    await withTaskGroup(of: Bool.self) { group in
      for number in 0..<64 {
        group.addTask {
          let message = ByteBuffer(string: String(repeating: "\(number) ", count: 2_000))
          guard let packed = Gzip.compress(frame: Framing.frame(message), isForced: false) else { return false }
          let data = packed.getSlice(at: 5, length: packed.readableBytes - 5) ?? ByteBuffer()
          return (try? Gzip.decompress(data, limit: 100_000)) == message
        }
      }
      for await isRight in group { #expect(isRight) }
    }
  }
}

import NIOCore
import TestSupport
import Testing

@testable import RPC

/// Messages that wait for their reader.
@Suite struct DeframerTests {
  private func chunk(_ messages: [[UInt8]]) -> ByteBuffer {
    var buffer = ByteBuffer()
    for message in messages {
      buffer.writeInteger(UInt8(0))
      buffer.writeInteger(UInt32(message.count))
      buffer.writeBytes(message)
    }
    return buffer
  }

  /// A window full of messages of one byte takes a window of memory, or two.
  @Test func smallMessagesThatWaitCostTheirBytes() throws {
    let (window, count) = (256 * 1024, 256 * 1024 / 6)
    var deframer = Deframer(limit: 100, copiesSmall: true)
    var rest = chunk((0..<count).map { [UInt8(truncatingIfNeeded: $0)] })
    while let piece = rest.readSlice(length: min(rest.readableBytes, 1_000)), piece.readableBytes > 0 {
      try deframer.append(piece)
      deframer.settle()
      #expect(deframer.capacityUsed <= 2 * deframer.bufferedBytes + 4_000)
    }
    #expect(deframer.bufferedBytes == 6 * count)
    #expect(deframer.capacityUsed <= 2 * window)
    for number in 0..<count {
      guard let message = deframer.next() else { break }
      if Array(message.readableBytesView) != [UInt8(truncatingIfNeeded: number)] { Issue.record("message \(number)") }
    }
    #expect(!deframer.hasMessage && !deframer.isInsideMessage)
    #expect(deframer.capacityUsed == 0)
  }

  /// One message comes and one is taken, with always some that wait: the buffer does not grow.
  @Test func aReaderThatIsBehind() throws {
    var deframer = Deframer(limit: 1_000, copiesSmall: true)
    var random = SeededRandom()
    var (taken, sent) = (0, 0)
    func message(_ number: Int) -> [UInt8] { Array(repeating: UInt8(truncatingIfNeeded: number), count: number % 700) }
    for _ in 0..<20_000 {
      var bytes = chunk([message(sent)])
      sent += 1
      let cut = Int.random(in: 0...bytes.readableBytes, using: &random)
      for length in [cut, bytes.readableBytes - cut] where length > 0 {
        try deframer.append(bytes.readSlice(length: length) ?? ByteBuffer())
        deframer.settle()
      }
      if sent - taken > 20, let next = deframer.next() {
        if Array(next.readableBytesView) != message(taken) { Issue.record("message \(taken)") }
        taken += 1
      }
      if deframer.capacityUsed > 128 * 1024 { Issue.record("\(deframer.capacityUsed) bytes") }
    }
    #expect(taken == 20_000 - 20)
  }

  @Test func whatIsInFrontOfAFaultIsThere() throws {
    var deframer = Deframer(limit: 10, copiesSmall: true)
    var bytes = chunk([[1], [2, 3]])
    bytes.writeBytes([7, 0])
    #expect(throws: Status(.internalError, "a message has an invalid flag")) { try deframer.append(bytes) }
    #expect(deframer.next() == ByteBuffer(bytes: [1]))
    #expect(deframer.next() == ByteBuffer(bytes: [2, 3]))
    #expect(deframer.next() == nil)
  }
}

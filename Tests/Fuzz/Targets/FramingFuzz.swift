import NIOCore

@testable import RPC

/// Cuts bytes into messages, piece by piece, and compares with what the bytes say when read in one go.
func fuzzFraming(_ input: Bytes) throws {
  var input = input
  let limit = input.number()
  let choices = input.byte()
  let copies = choices & 1 == 1
  let keepsPrefix = choices & 2 == 2
  let piece = max(1, Int(input.byte()))
  let wire = input.takeRest()
  let expected = expectedMessages(wire, limit: limit, keepsPrefix: keepsPrefix)

  var deframer = Deframer(limit: limit, copiesSmall: copies)
  deframer.keepsPrefix = keepsPrefix
  var messages: [[UInt8]] = []
  var failed = false
  var rest = wire[...]
  // Messages are taken as they come, or when all are there.
  let takesAtOnce = choices & 4 == 0
  while !rest.isEmpty, !failed {
    do {
      try deframer.append(ByteBuffer(bytes: rest.prefix(piece)))
    } catch is Status {
      failed = true
    }
    rest = rest.dropFirst(piece)
    if takesAtOnce {
      while let message = deframer.next() { messages.append(Array(message.readableBytesView)) }
    }
    deframer.settle()
  }
  while let message = deframer.next() { messages.append(Array(message.readableBytesView)) }
  try require(messages == expected.messages, "\(messages.count) messages instead of \(expected.messages.count)")
  try require(failed == expected.isBroken, "broken framing is not told from whole")
  if !failed { try require(deframer.isInsideMessage == expected.isCut, "a cut message is not told from a whole one") }
}

private func expectedMessages(
  _ wire: [UInt8], limit: Int, keepsPrefix: Bool
) -> (messages: [[UInt8]], isBroken: Bool, isCut: Bool) {
  var messages: [[UInt8]] = []
  var rest = wire[...]
  while let flag = rest.first {
    if flag > (keepsPrefix ? 1 : 0) { return (messages, true, false) }
    guard rest.count >= 5 else { return (messages, false, true) }
    let length = rest.dropFirst().prefix(4).reduce(0) { $0 << 8 | Int($1) }
    if length > limit { return (messages, true, false) }
    guard rest.count >= 5 + length else { return (messages, false, true) }
    messages.append(Array(rest.prefix(5 + length).dropFirst(keepsPrefix ? 0 : 5)))
    rest = rest.dropFirst(5 + length)
  }
  return (messages, false, false)
}

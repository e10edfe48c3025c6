import Foundation
import Messages
import NIOCore
import TestSupport
import Testing

@Suite struct RoundTripTests {
  @Test func everyKindOfFieldComesBackFromBinary() throws {
    var random = RandomMessages(generator: SeededRandom("binary round trip"))
    for _ in 0..<300 {
      let message = random.everyField()
      let back = try EveryField(wire: message.wire())
      #expect(back == message)
    }
  }

  @Test func everyKindOfFieldComesBackFromJSON() throws {
    var random = RandomMessages(generator: SeededRandom("JSON round trip"))
    for _ in 0..<300 {
      let message = random.everyField()
      let text = try ProtoJSON.encode(message)
      let back = try ProtoJSON.decode(EveryField.self, from: text)
      #expect(back == message, "\(text)")
    }
  }

  @Test func defaultsTakeNoBytes() throws {
    #expect(try EveryField().wire().readableBytes == 0)
    #expect(try EveryField(wire: ByteBuffer()) == EveryField())
    #expect(try ProtoJSON.encode(EveryField()) == "{}")
  }

  @Test func presenceOfMessagesAndOneofsIsKept() throws {
    let empty = EveryField(leaf: Leaf(), empty: GoogleProtobufEmpty(), choice: .choiceText(""))
    let back = try EveryField(wire: empty.wire())
    #expect(back == empty)
    #expect(back.leaf != nil && back.duration == nil)
    for choice: EveryField.Choice in [
      .choiceNumber(0), .choiceLeaf(Leaf()), .choiceBytes([]), .choiceColor(.unspecified), .choiceFlag(false),
      .choiceDouble(0),
    ] {
      #expect(try EveryField(wire: EveryField(choice: choice).wire()).choice == choice)
    }
  }

  @Test func equalMapsGiveEqualBytes() throws {
    let keys = (0..<100).map { "key \($0)" }
    let first = EveryField(stringMap: Dictionary(uniqueKeysWithValues: keys.map { ($0, "v") }))
    let second = EveryField(stringMap: Dictionary(uniqueKeysWithValues: keys.reversed().map { ($0, "v") }))
    #expect(try first.wire() == second.wire())
    #expect(try ProtoJSON.encode(first) == ProtoJSON.encode(second))
  }

  @Test func encodingAppends() throws {
    var buffer = ByteBuffer(string: "ab")
    try EchoMessage(text: "c").encode(into: &buffer)
    #expect(Array(buffer.readableBytesView) == Array("ab".utf8) + [0x0A, 1, UInt8(ascii: "c")])
  }

  @Test func largeContentComesBack() throws {
    let content = [UInt8](repeating: 7, count: 3 << 20)
    let message = EveryField(bytesValue: content, strings: [String](repeating: "äöü€", count: 20_000))
    #expect(try EveryField(wire: message.wire()) == message)
  }

  @Test func numbersOfEnumsWithoutANameAreKept() throws {
    let wire = WireBuilder.build {
      $0.tag(16, 0)
      $0.varint(99)
    }
    let message = try EveryField(wire: wire)
    #expect(message.color == .unrecognized(99))
    #expect(message.color.rawValue == 99 && message.color.protoName == "99")
    #expect(try message.wire() == wire)
    #expect(try ProtoJSON.encode(message) == #"{"color":99}"#)
  }

  @Test func enumsKnowTheirNames() {
    #expect(MissionState.pendingApproval.protoName == "MISSION_STATE_PENDING_APPROVAL")
    #expect(MissionState(rawValue: 3) == .running)
    #expect(Color.allKnown == [.unspecified, .red, .green, .belowZero])
    #expect(Color.belowZero.rawValue == -1)
  }

  @Test func listsOfNumbersAreReadPackedAndOneByOne() throws {
    let wire = WireBuilder.build {
      $0.tag(23, 0)
      $0.varint(5)
      $0.field(23, [6, 7])
      $0.field(38, [8, 9])
    }
    let message = try EveryField(wire: wire)
    #expect(message.int32s == [5, 6, 7])
    #expect(message.unpacked == [8, 9])
  }

  @Test func lastValueAndLastMemberOfAOneofCount() throws {
    let wire = WireBuilder.build {
      $0.field(14, Array("old".utf8))
      $0.field(14, Array("new".utf8))
      $0.field(51, Array("text".utf8))
      $0.tag(52, 0)
      $0.varint(4)
    }
    let message = try EveryField(wire: wire)
    #expect(message.stringValue == "new")
    #expect(message.choice == .choiceNumber(4))
  }

  @Test func mapEntriesMayLackKeyOrValue() throws {
    let wire = WireBuilder.build {
      $0.field(42, [8, 5])
      $0.field(41, [])
    }
    let message = try EveryField(wire: wire)
    #expect(message.leafMap == [5: Leaf()])
    #expect(message.stringMap == ["": ""])
    #expect(try ProtoJSON.encode(message) == #"{"stringMap":{"":""},"leafMap":{"5":{}}}"#)
  }

  @Test func timesBecomeFoundationAndSwiftValues() {
    let date = Date(timeIntervalSince1970: -1.25)
    #expect(GoogleProtobufTimestamp(date) == GoogleProtobufTimestamp(seconds: -2, nanos: 750_000_000))
    #expect(GoogleProtobufTimestamp(date).date == date)
    for duration: Duration in [.seconds(-3) - .milliseconds(5), .zero, .nanoseconds(1), .seconds(1 << 40)] {
      #expect(GoogleProtobufDuration(duration).duration == duration)
    }
    #expect(GoogleProtobufDuration(.milliseconds(-1500)) == .init(seconds: -1, nanos: -500_000_000))
    #expect(abs(GoogleProtobufTimestamp.now.date.timeIntervalSinceNow) < 60)
  }
}

import Messages
import NIOCore
import TestSupport
import Testing

/// What a peer may send that protobuf-c would take in, or allocate too much for.
@Suite struct WireTests {
  private func expect(
    _ kind: WireError.Kind, _ wire: ByteBuffer, limits: WireLimits = .default,
    sourceLocation: SourceLocation = #_sourceLocation
  ) {
    #expect(sourceLocation: sourceLocation) {
      _ = try EveryField(wire: wire, limits: limits)
    } throws: { error in
      let error = error as? WireError
      if let error, error.kind != kind { Issue.record("\(error.kind): \(error)", sourceLocation: sourceLocation) }
      return error?.kind == kind && error?.message.isEmpty == false
    }
  }

  // MARK: - Limits

  @Test func bytesAreLimited() throws {
    let wire = try EveryField(bytesValue: [1, 2, 3]).wire()
    expect(.tooLarge, wire, limits: WireLimits(bytes: wire.readableBytes - 1))
    _ = try EveryField(wire: wire, limits: WireLimits(bytes: wire.readableBytes))
  }

  @Test func depthIsLimited() throws {
    let wire = try EveryField(leafMap: [1: Leaf(name: "x")]).wire()
    expect(.tooDeep, wire, limits: WireLimits(depth: 2))
    _ = try EveryField(wire: wire, limits: WireLimits(depth: 3))
  }

  @Test func fieldsAreLimitedInnerOnesCounted() throws {
    let wire = try EveryField(leaves: [Leaf(name: "a", number: 1), Leaf(name: "b", number: 2)]).wire()
    expect(.tooManyFields, wire, limits: WireLimits(fields: 5))
    _ = try EveryField(wire: wire, limits: WireLimits(fields: 6))
    expect(.tooManyFields, WireBuilder.build { builder in
      for _ in 0..<100_001 { builder.field(1000, []) }
    }, limits: WireLimits(unknownBytes: 1 << 20))
  }

  @Test func unknownBytesAreLimited() throws {
    let wire = { (count: Int) in WireBuilder.build { $0.field(1000, [UInt8](repeating: 1, count: count)) } }
    expect(.tooManyUnknownBytes, wire(64 << 10))
    #expect(try EveryField(wire: wire((64 << 10) - 5)) == EveryField())
  }

  @Test func memoryIsLimited() throws {
    // An empty leaf takes 3 bytes here and more than 40 in memory.
    let wire = try EveryField(leaves: [Leaf](repeating: Leaf(), count: 50_000)).wire()
    expect(.overBudget, wire)
    #expect(try EveryField(wire: wire, limits: WireLimits(memoryFactor: 64)).leaves.count == 50_000)
    expect(.overBudget, wire, limits: WireLimits(memoryFactor: 0, memoryBase: 0))
  }

  @Test func encodedBytesAreLimited() throws {
    var buffer = ByteBuffer(string: "before")
    let message = EveryField(bytesValue: [UInt8](repeating: 0, count: WireLimits.maximumEncodedBytes))
    #expect { try message.encode(into: &buffer) } throws: { ($0 as? WireError)?.kind == .tooLarge }
    #expect(String(buffer: buffer) == "before")
  }

  // MARK: - Text

  @Test(arguments: [
    [0xFF], [0xC3], [0xC0, 0x80], [0xED, 0xA0, 0x80], [0xF4, 0x90, 0x80, 0x80], [0x61, 0xE2, 0x82],
    Array("12345678".utf8) + [0x80],
  ])
  func invalidUTF8IsRefused(text: [UInt8]) {
    for field: UInt64 in [14, 34, 51] { expect(.invalidUTF8, WireBuilder.build { $0.field(field, text) }) }
    // In the key of a map, and inside a message.
    expect(.invalidUTF8, WireBuilder.build { $0.field(41, [0x0A, UInt8(text.count)] + text) })
    expect(.invalidUTF8, WireBuilder.build { $0.field(17, [0x0A, UInt8(text.count)] + text) })
  }

  @Test func embeddedNULIsRefusedBothWays() throws {
    expect(.embeddedNUL, WireBuilder.build { $0.field(14, Array("a\0b".utf8)) })
    expect(.embeddedNUL, WireBuilder.build { $0.field(14, Array("12345678\0".utf8)) })
    var buffer = ByteBuffer()
    #expect { try EveryField(strings: ["a\0"]).encode(into: &buffer) } throws: {
      ($0 as? WireError)?.kind == .embeddedNUL
    }
    #expect(buffer.readableBytes == 0)
    #expect(try EveryField(wire: EveryField(bytesValue: [0, 1, 0]).wire()).bytesValue == [0, 1, 0])
  }

  // MARK: - Malformed

  @Test func cutOffAnywhereItNeverCrashes() throws {
    var random = RandomMessages(generator: SeededRandom("truncation"))
    for _ in 0..<5 {
      let whole = try random.everyField().wire()
      for length in 0..<whole.readableBytes {
        let part = try #require(whole.getSlice(at: 0, length: length))
        do {
          // Cut between two fields it is a message again, and a shorter one.
          #expect(try EveryField(wire: part).wire().readableBytes <= length)
        } catch let error as WireError {
          #expect(error.kind == .malformed || error.kind == .invalidUTF8)
        }
      }
    }
  }

  @Test func flippedBytesNeverCrash() throws {
    var random = RandomMessages(generator: SeededRandom("flipped bytes"))
    for _ in 0..<2000 {
      var bytes = Array(try random.everyField().wire().readableBytesView)
      guard !bytes.isEmpty else { continue }
      for _ in 0..<Int.random(in: 1...4, using: &random.generator) {
        let index = Int.random(in: 0..<bytes.count, using: &random.generator)
        bytes[index] = UInt8.random(in: 0 ... .max, using: &random.generator)
      }
      do {
        let message = try EveryField(wire: ByteBuffer(bytes: bytes))
        _ = try EveryField(wire: message.wire())
      } catch is WireError {}
    }
  }

  @Test func badTagsAndVarintsAreRefused() {
    expect(.malformed, ByteBuffer(bytes: [0x00, 0x00]))
    expect(.malformed, ByteBuffer(bytes: [0x80]))
    expect(.malformed, ByteBuffer(bytes: [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x02]))
    expect(.malformed, WireBuilder.build {
      $0.tag(3, 0)
      $0.bytes += [UInt8](repeating: 0xFF, count: 11)
    })
    expect(.malformed, WireBuilder.build {
      $0.tag(14, 2)
      $0.varint(.max)
    })
    // A packed list that ends inside a number.
    expect(.malformed, WireBuilder.build { $0.field(23, [0x05, 0x80]) })
    expect(.malformed, WireBuilder.build { $0.field(21, [1, 2, 3]) })
  }

  @Test func wrongWireTypesAreRefused() {
    for wireType: UInt64 in [1, 2, 3, 4, 5, 6, 7] {
      expect(.malformed, WireBuilder.build {
        $0.tag(3, wireType)
        $0.bytes += [8, 0, 0, 0, 0, 0, 0, 0, 0]
      })
    }
    expect(.malformed, WireBuilder.build {
      $0.tag(14, 0)
      $0.varint(3)
    })
    // Groups, which proto3 does not have.
    expect(.malformed, WireBuilder.build { $0.tag(1000, 3) })
  }

  @Test func aSingleMessageThatComesTwiceIsRefused() throws {
    // protobuf-c would lose scalars of the first when merging the two.
    expect(.malformed, WireBuilder.build {
      $0.field(17, [0x10, 5])
      $0.field(17, [0x0A, 1, 0x61])
    })
  }
}

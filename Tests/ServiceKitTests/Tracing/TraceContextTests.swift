import TestSupport
import Testing
import Tracing

@testable import ServiceKit

/// The rules of W3C Trace Context, Level 1.
@Suite struct TraceContextTests {
  private static let trace = "4bf92f3577b34da6a3ce929d0e0e4736"
  private static let parent = "00f067aa0ba902b7"

  @Test func theRecommendationsExample() throws {
    let context = try #require(TraceContext(traceparent: "00-\(Self.trace)-\(Self.parent)-01"))
    #expect(context.traceID.description == Self.trace)
    #expect(context.spanID.description == Self.parent)
    #expect(context.isSampled)
    #expect(context.traceparent == "00-\(Self.trace)-\(Self.parent)-01")
  }

  /// Only the lowest bit has a meaning; the others are sent as zero.
  @Test(arguments: [("00", false), ("01", true), ("02", false), ("03", true), ("fe", false), ("ff", true)])
  func flags(_ flags: String, _ isSampled: Bool) throws {
    let context = try #require(TraceContext(traceparent: "00-\(Self.trace)-\(Self.parent)-\(flags)"))
    #expect(context.isSampled == isSampled)
    #expect(context.traceparent.hasSuffix(isSampled ? "-01" : "-00"))
  }

  @Test(arguments: ["01", "cc", "fe"])
  func laterVersionsAreReadAsFarAsTheyAreKnown(_ version: String) throws {
    for rest in ["", "-", "-what-comes-later"] {
      let context = TraceContext(traceparent: "\(version)-\(Self.trace)-\(Self.parent)-01\(rest)")
      #expect(context?.traceparent == "00-\(Self.trace)-\(Self.parent)-01")
    }
    #expect(TraceContext(traceparent: "\(version)-\(Self.trace)-\(Self.parent)-01x") == nil)
    #expect(TraceContext(traceparent: "\(version)-\(Self.trace)-\(Self.parent)-011") == nil)
  }

  @Test(arguments: [
    "", "00", "00-", "nonsense", "00-\(trace)-\(parent)", "00-\(trace)-\(parent)-", "00-\(trace)-\(parent)-1",
    "00-\(trace)-\(parent)-01-", "00-\(trace)-\(parent)-01-more", "00-\(trace)-\(parent)-0100",
    "ff-\(trace)-\(parent)-01", "0-\(trace)-\(parent)-01", "000-\(trace)-\(parent)-01", "0x-\(trace)-\(parent)-01",
    "00-00000000000000000000000000000000-\(parent)-01", "00-\(trace)-0000000000000000-01",
    "00-4BF92F3577B34DA6A3CE929D0E0E4736-\(parent)-01", "00-\(trace)-00F067AA0BA902B7-01", "FE-\(trace)-\(parent)-01",
    "00-\(trace)-\(parent)-0A", "00-\(trace)-\(parent)-0g", "00-\(trace)x-\(parent)-01", "00_\(trace)_\(parent)_01",
    " 00-\(trace)-\(parent)-01", "00-\(trace)-\(parent)-01 ", "00-\(trace)-\(parent)-01\n",
    "00-\(trace)-\(parent)-01,00-\(trace)-\(parent)-01", "００-\(trace)-\(parent)-01",
  ])
  func malformedOnesAreIgnored(_ text: String) {
    #expect(TraceContext(traceparent: text) == nil)
  }

  /// Against the grammar, written as an expression.
  @Test func changedTextsAreTakenJustWhereTheGrammarTakesThem() throws {
    var random = SeededRandom()
    let grammar = #/(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(?<rest>-.*)?/#
    for _ in 0..<5_000 {
      var text = Array("00-\(Self.trace)-\(Self.parent)-01".utf8)
      for _ in 0..<Int.random(in: 1...2, using: &random) {
        let place = Int.random(in: 0..<text.count, using: &random)
        let byte = Array("0123456789abcdefABFg-_ ".utf8).randomElement(using: &random) ?? 0
        switch Int.random(in: 0...9, using: &random) {
        case 0: text.remove(at: place)
        case 1: text.insert(byte, at: place)
        case 2: text.append(byte)
        default: text[place] = byte
        }
      }
      let header = String(decoding: text, as: UTF8.self)
      let match = try grammar.wholeMatch(in: header)
      let isTaken = match.map { $0.rest == nil || !header.hasPrefix("00") } ?? false
      #expect((TraceContext(traceparent: header) != nil) == isTaken, "\(header)")
    }
  }

  // MARK: - tracestate

  private func state(_ text: String) -> String? {
    TraceContext(traceparent: "00-\(Self.trace)-\(Self.parent)-01", tracestate: text)?.state.text
  }

  @Test(arguments: [
    ("", ""), ("rojo=00f067aa0ba902b7", "rojo=00f067aa0ba902b7"), ("a=1,b=2", "a=1,b=2"),
    (" a=1 ,\tb=2\t", "a=1,b=2"), ("a=1,,b=2,", "a=1,b=2"), ("a= 1", "a= 1"), ("a=!~", "a=!~"),
    ("fw529a3039@dt=FfFfFf", "fw529a3039@dt=FfFfFf"), ("0tenant@system=x", "0tenant@system=x"),
    ("a_-*/9=x", "a_-*/9=x"),
  ])
  func entriesPassThrough(_ text: String, _ expected: String) {
    #expect(state(text) == expected)
  }

  @Test(arguments: [
    "a", "a=", "=1", "A=1", "1a=1", "a=1,a=2", "a b=1", "a=1=2", "a@=1", "@a=1", "a@b@c=1", "a@1=x", "a=\u{7F}",
    "a=é", "a=1;b=2", "a=1\n", "t@" + String(repeating: "s", count: 15) + "=1",
    String(repeating: "t", count: 242) + "@s=1", String(repeating: "k", count: 257) + "=1",
    "a=" + String(repeating: "v", count: 257),
    (0...32).map { "k\($0)=v" }.joined(separator: ","),
  ])
  func aMalformedListIsDroppedAndTheTraceGoesOn(_ text: String) {
    #expect(state(text) == "")
  }

  @Test func longEntriesGoFirstThenTheOldest() throws {
    let long = "long=" + String(repeating: "x", count: 200)
    #expect(state("a=1,\(long)") == "a=1,\(long)")
    let many = (0..<20).map { "key\($0)=" + String(repeating: "v", count: 10) }
    #expect(state(([long] + many).joined(separator: ",")) == many.joined(separator: ","))
    let large = (0..<32).map { "key\($0)=" + String(repeating: "v", count: 100) }
    let fitting = try #require(state(large.joined(separator: ",")))
    #expect(fitting == large[..<4].joined(separator: ","))
  }

  // MARK: - Contexts

  @Test func aStoredContextGoesOn() {
    let stored = "00-\(Self.trace)-\(Self.parent)-00"
    #expect(ServiceContext.continuing(stored).trace?.traceparent == stored)
    #expect(ServiceContext.continuing("").trace == nil)
    #expect(ServiceContext.continuing("nonsense").trace == nil)
    #expect(TraceContext.currentText == "")
    ServiceContext.withValue(.continuing(stored)) {
      #expect(TraceContext.currentText == stored)
    }
  }
}

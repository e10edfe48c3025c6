import TestSupport
import Testing

@testable import HTTP2

@Suite struct StreamTableTests {
  /// Against a dictionary, which is known to work.
  @Test func holdsWhatADictionaryWould() {
    var random = SeededRandom()
    var table = StreamTable<Int>()
    var dictionary: [Int32: Int] = [:]
    for step in 0..<20_000 {
      // Few ids, so that they come again, with strides that put many of them to one place.
      let stride: Int32 = Bool.random(using: &random) ? 2 : 1 << 20
      let stream = 1 + stride * Int32.random(in: 0..<64, using: &random)
      if Int.random(in: 0..<5, using: &random) < 3 {
        table.insert(step, for: stream)
        dictionary[stream] = step
      } else {
        #expect(table.remove(stream) == dictionary.removeValue(forKey: stream))
      }
      #expect(table[stream] == dictionary[stream])
      #expect(table.count == dictionary.count)
    }
    #expect(Dictionary(uniqueKeysWithValues: table.elements.map { ($0.stream, $0.value) }) == dictionary)
    #expect(table.values.sorted() == dictionary.values.sorted())
  }

  @Test func idsThatCollideAreAllFound() {
    let ids = (0..<100).map { Int32($0 << 24 | 1) }
    var table = StreamTable<Int32>()
    for id in ids { table.insert(id, for: id) }
    for id in ids { #expect(table[id] == id) }
    for id in ids.reversed() { #expect(table.remove(id) == id) }
    #expect(table.isEmpty)
  }

  @Test func nothingIsThereThatWasNotPut() {
    var table = StreamTable<String>()
    #expect(table[1] == nil)
    #expect(table.remove(1) == nil)
    table.insert("one", for: 1)
    #expect(table[3] == nil)
    #expect(table[0] == nil)
    #expect(table[-1] == nil)
    #expect(table.remove(0) == nil)
    #expect(table.remove(-1) == nil)
    table.insert("uno", for: 1)
    #expect(table[1] == "uno")
    #expect(table.count == 1)
  }
}

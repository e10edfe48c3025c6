import HTTP2
import Testing

@Suite struct HeaderBlockTests {
  @Test func fieldsComeBackInOrder() {
    var block: HeaderBlock = [":path": "/a", "empty": "", "x": "1"]
    block.append("x", "2")
    let fields = block.map { "\(block.string($0.name))=\(block.string($0.value))" }
    #expect(fields == [":path=/a", "empty=", "x=1", "x=2"])
    #expect(block.count == 4)
    #expect(block["x"] == "1")
    #expect(block["y"] == nil)
  }
}

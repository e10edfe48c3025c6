import Foundation
import Testing

@testable import ServiceKit

@Suite struct IdentifierTests {
  @Test func theyAreVersion7() throws {
    let before = UInt64(Date().timeIntervalSince1970 * 1000)
    let id = Identifier.make()
    let uuid = try #require(UUID(uuidString: id))
    #expect(uuid.uuidString.lowercased() == id)
    #expect(uuid.uuid.6 >> 4 == 7)
    #expect(uuid.uuid.8 >> 6 == 0b10)
    let milliseconds = try #require(UInt64(id.prefix(13).replacing("-", with: ""), radix: 16))
    #expect(milliseconds >= before && milliseconds < before + 60_000)
  }

  @Test func theExampleOfTheRFC() {
    // RFC 9562, appendix A.6.
    let text = Identifier.text(milliseconds: 0x017F_22E2_79B0, counter: 0xCC3, random: 0x18C4_DC0C_0C07_398F << 2)
    #expect(text == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f")
  }

  @Test func theyAreUniqueAndGrow() async {
    let lists = await withTaskGroup(of: [String].self) { group in
      for _ in 0..<8 { group.addTask { (0..<20_000).map { _ in Identifier.make() } } }
      return await group.reduce(into: []) { $0.append($1) }
    }
    for list in lists { #expect(list == list.sorted()) }
    #expect(Set(lists.joined()).count == 160_000)
  }
}

import Testing

@testable import ExecutionService

@Suite struct IntentClassifierTests {
  private let classifier = IntentClassifier()
  private let csv = [(name: "data.csv", mediaType: "text/csv")]

  /// Objectives that are not among the examples.
  private static let heldOut: [String: [String]] = [
    "calculation": [
      "What is 6 * 7?", "how much is 35% of 180", "convert 100 cm to inches", "what is 1 / 0?", "calculate 2^10",
      "19 plus 4", "how many minutes are 2 days", "what is 12.5% of 2,340?", "10 lb in kg", "sqrt(81) + 3",
      "what is 250 divided by 4?", "compute (1 + 2) * (3 + 4)",
    ],
    "data_analysis": [
      "Average price by region", "plot the total revenue by month", "count orders by status",
      "Chart the average price by regoin", "median rent per district", "top 3 cities by population",
      "show the sum of hours for each employee", "what is the maximum speed by model?", "describe this table",
      "which month has the highest rainfall", "total sales by country in 2022", "mean score per class",
    ],
    "web_extraction": [
      "Get the title of http://127.0.0.1:8080/slow", "extract the tables from https://data.example.org/x.html",
      "list the links on https://swift.org", "fetch https://www.debian.org and show the text",
      "what is on the page http://example.com/faq", "headings of https://example.org/manual",
      "read https://example.com/news and give me the text", "scrape www.example.org",
    ],
    "unknown": [
      "Write a sad poem about the moon", "book a table for two", "send a message to Alice", "tell me a story",
      "sing a song", "flurb gnarf wibble", "make coffee", "who are you", "translate hello into Spanish", "draw a horse",
    ],
  ]

  @Test func heldOutObjectivesAreUnderstood() {
    var right = 0
    var total = 0
    for (intent, objectives) in Self.heldOut.sorted(by: { $0.key < $1.key }) {
      for objective in objectives {
        let inputs = intent == "data_analysis" ? csv : []
        let found = classifier.classify(objective: objective, inputs: inputs)
        total += 1
        if found.name == intent { right += 1 } else { print("\"\(objective)\" was taken for \(found)") }
        #expect(IntentClassifier.confidenceRange.contains(found.confidence))
        #expect((found.decision == "none") == (found.name == IntentClassifier.unknown))
        #expect(!found.reasons.isEmpty)
      }
    }
    let accuracy = Double(right) / Double(total)
    print("intent accuracy on \(total) held-out objectives: \(accuracy)")
    #expect(accuracy >= 0.9)
  }

  @Test func noExampleIsHeldOut() {
    let examples = Set(TrainingExamples.byIntent.values.joined().map { $0.lowercased() })
    #expect(Self.heldOut.values.joined().allSatisfy { !examples.contains($0.lowercased()) })
    #expect(TrainingExamples.byIntent.values.allSatisfy { $0.count >= 25 })
  }

  @Test func whatIsAttachedCounts() {
    let without = classifier.classify(objective: "what is in it", inputs: [])
    let with = classifier.classify(objective: "what is in it", inputs: csv)
    #expect(with.name == "data_analysis")
    #expect(with.reasons.contains("a table comes with it"))
    #expect(without.name != "data_analysis" || without.confidence < with.confidence)
    let page = classifier.classify(objective: "show the text", inputs: [(name: "a.html", mediaType: "text/html")])
    #expect(page.name == "web_extraction")
  }

  @Test(arguments: ["ftp://example.org/file.txt", "gopher://example.org/1", "file:///etc/hosts"])
  func addressesOfAnySchemeAreAddresses(_ address: String) {
    for objective in ["Get \(address)", "fetch the page (\(address))", address] {
      let found = classifier.classify(objective: objective, inputs: [])
      #expect(found.name == "web_extraction", "\(objective): \(found)")
    }
  }

  @Test func theSameObjectiveAlwaysMeansTheSame() {
    let first = IntentClassifier().classify(objective: "average of 3 and 5", inputs: [])
    for _ in 0..<20 { #expect(IntentClassifier().classify(objective: "average of 3 and 5", inputs: []) == first) }
  }

  @Test(arguments: ["", "   ", "???", "\u{0}", "日本語のテキスト", String(repeating: "x ", count: 5_000)])
  func whatItDoesNotKnowIsUnknown(_ objective: String) {
    let found = classifier.classify(objective: objective, inputs: [])
    #expect(found.decision == "none")
    #expect(found.confidence >= 0.2)
  }
}

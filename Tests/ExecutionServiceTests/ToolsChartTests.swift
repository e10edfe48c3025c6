import Testing

@testable import ExecutionService

/// The charts that questions lead to. Their shape follows the Vega-Lite v5 schema.
@Suite struct ChartTests {
  static let csv = """
    date,city,year,rain,sun
    2023-01-05,Oslo,2023,1,2
    2023-02-05,Rome,2023,2,7
    2023-02-09,Oslo,2023,3,4
    2024-01-01,Rome,2024,4,9
    """

  static func chart(_ objective: String, _ parameters: [String: String] = [:], csv: String = csv) async throws
    -> JSONFields?
  {
    let output = try await DataAnalyzeTool().run(.of(objective, csv: csv, parameters)) { _, _ in }
    let artifact = output.artifacts.first { $0.name == "chart.vl.json" }
    #expect(artifact?.mediaType ?? "application/vnd.vegalite.v5+json" == "application/vnd.vegalite.v5+json")
    return try artifact.map { try JSONFields($0.bytes) }
  }

  static func mark(_ chart: JSONFields?) -> String? { chart?["mark"].string("type") }

  @Test func categoriesMakeBars() async throws {
    let chart = try #require(try await Self.chart("chart total rain by city"))
    #expect(chart.string("$schema") == "https://vega.github.io/schema/vega-lite/v5.json")
    #expect(chart.string("title") == "Total rain by city")
    #expect(Self.mark(chart) == "bar")
    #expect(chart["encoding"]["x"].string("type") == "nominal" && chart["encoding"]["x"].string("field") == "city")
    #expect(chart["encoding"]["y"].string("type") == "quantitative")
    let values = chart["data"].array("values") as? [[String: Any]]
    #expect(values?.count == 2 && values?[0]["total rain"] as? Int == 4)
  }

  @Test func timeMakesALine() async throws {
    let chart = try await Self.chart("plot average sun by month")
    #expect(Self.mark(chart) == "line")
    #expect(chart?["encoding"]["x"].string("type") == "temporal")
    #expect(chart?["encoding"]["x"].string("timeUnit") == "utcyearmonth")
    let values = chart?["data"].array("values") as? [[String: Any]]
    #expect(values?.map { $0["month"] as? String } == ["2023-01-01", "2023-02-01", "2024-01-01"])
    #expect(Self.mark(try await Self.chart("average sun by year")) == "line")
    #expect(Self.mark(try await Self.chart("bar chart of average sun by month")) == "bar")
  }

  @Test func twoMeasuresAgainstEachOtherMakePoints() async throws {
    let chart = try await Self.chart("plot rain against sun")
    #expect(Self.mark(chart) == "point")
    #expect(chart?["encoding"]["x"].string("field") == "rain" && chart?["encoding"]["y"].string("field") == "sun")
  }

  @Test func aSecondKeyOrMeasureGivesTheColor() async throws {
    let keys = try await Self.chart("total rain by month and city")
    #expect(keys?["encoding"]["color"].string("field") == "city")
    let measures = try await Self.chart("average rain and sun by city")
    #expect(measures?["encoding"]["color"].string("field") == "measure")
    #expect(measures?["data"].array("values").count == 4)
  }

  @Test func fieldNamesAreNoPaths() async throws {
    let chart = try await Self.chart("total by 'a.b[c]'", csv: "a.b[c],n\nx,1\ny,2\n")
    #expect(chart?["encoding"]["x"].string("field") == "a_b_c_")
    #expect(chart?["encoding"]["x"].string("title") == "a.b[c]")
  }

  @Test func whatCannotBeDrawnHasNoChart() async throws {
    #expect(try await Self.chart("total rain") == nil)
    #expect(try await Self.chart("describe it") == nil)
    #expect(try await Self.chart("total rain by city", ["chart": "none"]) == nil)
  }
}

/// What can be loaded, and what is refused.
@Suite struct DataLoaderTests {
  static func run(_ objective: String, _ name: String, _ type: String, _ text: String) async throws -> String? {
    try await run(objective, name, type, Array(text.utf8))
  }

  static func run(_ objective: String, _ name: String, _ type: String, _ bytes: [UInt8]) async throws -> String? {
    let input = ToolInput(name: name, mediaType: type, bytes: bytes)
    let call = ToolCall(missionID: "m", objective: objective, parameters: [:], inputs: [input], idempotencyKey: "k")
    return try await DataAnalyzeTool().run(call) { _, _ in }.artifact("table.csv")
  }

  @Test(arguments: [
    ("a.tsv", "", "k\tv\nx\t1\nx\t2\ny\t5\n"), ("a.csv", "text/csv", "k;v\nx;1\nx;2\ny;5\n"),
    ("a.csv", "text/csv", "\u{FEFF}k,v\r\nx,1\r\nx,2\r\ny,5\r\n"), ("a", "", "k|v\nx|1\nx|2\ny|5"),
    ("a.json", "", "[{\"k\": \"x\", \"v\": 1}, {\"v\": 2, \"k\": \"x\"}, {\"k\": \"y\", \"v\": 5, \"w\": null}]"),
    ("a", "application/json", "{\"data\": [{\"k\": \"x\", \"v\": 3.0}, {\"k\": \"y\", \"v\": 5}]}"),
    ("a.jsonl", "", "{\"k\": \"x\", \"v\": 3}\n{\"k\": \"y\", \"v\": 5}\n"),
  ])
  func formats(name: String, type: String, text: String) async throws {
    #expect(try await Self.run("total v by k", name, type, text) == "k,total v\r\nx,3\r\ny,5\r\n")
  }

  @Test(arguments: [
    ("a.csv", "PK\u{3}\u{4}rest", "UNSUPPORTED_INPUT"), ("a.csv", "%PDF-1.7", "UNSUPPORTED_INPUT"),
    ("a.json", "[{\"a\": 1},]", "MALFORMED_JSON"), ("a.json", "[1, 2]", "MALFORMED_JSON"),
    ("a.json", "{\"a\": 1}", "MALFORMED_JSON"),
    ("a.json", "[{\"a\": 01}]", "MALFORMED_JSON"), ("a.json", "[{\"a\": \"x}]", "MALFORMED_JSON"),
    ("a.json", "[]", "EMPTY_INPUT"),
    ("a.json", String(repeating: "[", count: 200), "MALFORMED_JSON"), ("a.csv", "a,b\n1\n", "MALFORMED_CSV"),
    ("a.csv", "a,b\n\"1,2\n", "MALFORMED_CSV"),
  ])
  func brokenFiles(name: String, text: String, code: String) async throws {
    let error = await #expect(throws: ToolError.self) { _ = try await Self.run("count", name, "", text) }
    #expect(error?.code == code, "\(text.prefix(40)): \(error?.description ?? "")")
  }

  @Test func jsonErrorsNameTheirLine() async throws {
    let error = await #expect(throws: ToolError.self) {
      _ = try await Self.run("count", "a.json", "", "[\n{\"a\": 1},\n{\"a\" 2}]")
    }
    #expect(error?.message == "Line 3: a colon is expected behind \"a\".")
  }

  @Test func columnTypesAreInferred() throws {
    let csv = "n,money,d,b,t,empty,mostly\n1,\"$1,000\",2023-01-01,yes,x,,1\n2.5,$2,2023-01-02,no,1a,NA,2\n"
    let input = ToolInput(name: "a.csv", mediaType: "text/csv", bytes: Array(csv.utf8))
    let table = try DataLoader.load(input) { _ in }
    #expect(table.columns.map(\.type.name) == ["number", "number", "date", "yes/no", "text", "text", "number"])
    #expect(table.columns[5].missing == 2)
  }

  @Test func fewUnreadableCellsAreReported() async throws {
    let rows = (1...40).map { $0 == 7 ? "oops" : String($0) }.joined(separator: "\n")
    let output = try await DataAnalyzeTool().run(.of("total v", csv: "v\n\(rows)\n")) { _, _ in }
    #expect(output.artifact("table.csv") == "total v\r\n813\r\n")
    #expect(output.text.contains("on 39 of 40 rows; skipped: 1 whose v is no number."))
  }

  @Test func tooManyCellsAreRefused() {
    var cells = CellStore()
    let error = #expect(throws: ToolError.self) { for _ in 0...CellStore.maximumCells { try cells.endCell() } }
    #expect(error?.code == "INPUT_TOO_LARGE")
  }

  @Test func toolboxKnowsItsTools() {
    let toolbox = Toolbox.builtIn()
    #expect(toolbox.declarations.map(\.name) == ["calculate", "data_analyze", "web_extract"])
    #expect(toolbox["data_analyze"]?.declaration.intents["data_analysis"] == 0.9 && toolbox["nothing"] == nil)
    for declaration in toolbox.declarations {
      let schema = try? JSONReader.read(Array(declaration.inputSchema.utf8))
      #expect(schema != nil, "\(declaration.name)")
    }
  }

  @Test func progressNeverFallsAndIsThin() async throws {
    let log = ProgressLog()
    let rows = (0..<30_000).map { "\($0 % 5),\($0)" }.joined(separator: "\n")
    _ = try await DataAnalyzeTool().run(.of("total v by k", csv: "k,v\n" + rows), progress: log.append)
    let fractions = log.entries.map(\.0)
    #expect(fractions == fractions.sorted() && fractions.last == 1 && fractions.count <= 60)
  }
}

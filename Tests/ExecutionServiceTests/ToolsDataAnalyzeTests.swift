import Testing

@testable import ExecutionService

/// Questions to a small table; expected values were worked out by hand from these twelve rows.
@Suite struct DataAnalyzeTests {
  static let sales = """
    date,region,product,unit_price,quantity,revenue,returned
    2023-01-05,North,Lamp,10.10,3,30.30,no
    2023-01-19,North,Chair,49.99,1,49.99,no
    2023-02-02,South,Lamp,10.10,5,50.50,yes
    2023-02-14,South,Desk,200.00,1,200.00,no
    2023-02-20,East,Chair,49.99,2,99.98,no
    2023-03-03,East,Lamp,9.50,4,38.00,no
    2023-03-09,North,Desk,210.00,1,210.00,yes
    2024-01-10,West,Lamp,10.10,NA,NA,no
    2024-01-11,West,"Chair, folding",25.00,2,50.00,no
    2024-02-28,North,Lamp,11.00,1,11.00,no
    2024-03-30,South,Chair,52.00,1,52.00,no
    2024-03-31,,Lamp,10.00,1,10.00,no
    """

  static func run(_ objective: String, _ parameters: [String: String] = [:], csv: String = sales) async throws
    -> ToolOutput
  {
    try await DataAnalyzeTool().run(.of(objective, csv: csv, parameters)) { _, _ in }
  }

  /// The rows of table.csv, header first.
  static func table(_ objective: String, _ parameters: [String: String] = [:], csv: String = sales) async throws
    -> [String]
  {
    let output = try await run(objective, parameters, csv: csv)
    return output.artifact("table.csv")?.split(separator: "\r\n").map(String.init) ?? []
  }

  static func code(_ objective: String, _ parameters: [String: String] = [:], csv: String = sales) async -> ToolError? {
    await #expect(throws: ToolError.self, "\(objective)") { _ = try await run(objective, parameters, csv: csv) }
  }

  @Test(arguments: [
    (
      "average revenue by region",
      ["region,average revenue", "East,68.99", "North,75.3225", "South,100.833333333", "West,50"]
    ),
    (
      "What is the total revenue per region?",
      ["region,total revenue", "East,137.98", "North,301.29", "South,302.5", "West,50"]
    ),
    (
      "sum of revenue for each product",
      ["product,total revenue", "Chair,201.97", "\"Chair, folding\",50", "Desk,410", "Lamp,139.8"]
    ),
    ("Count by region", ["region,rows", "East,2", "North,4", "South,3", "West,2"]),
    ("How many rows are there?", ["rows", "12"]),
    ("how many orders per region", ["region,rows", "East,2", "North,4", "South,3", "West,2"]),
    ("how many different products", ["number of different product", "4"]),
    (
      "maximum unit price by product",
      ["product,maximum unit_price", "Chair,52", "\"Chair, folding\",25", "Desk,210", "Lamp,11"]
    ),
    (
      "highest unit price by product",
      ["product,maximum unit_price", "Chair,52", "\"Chair, folding\",25", "Desk,210", "Lamp,11"]
    ),
    ("median revenue by region", ["region,median revenue", "East,68.99", "North,40.145", "South,52", "West,50"]),
    ("minimum, maximum and average quantity", ["minimum quantity,maximum quantity,average quantity", "1,5,2"]),
    (
      "average price and quantity by region",
      [
        "region,average unit_price,average quantity", "East,29.745,3", "North,70.2725,1.5",
        "South,87.3666666667,2.33333333333", "West,17.55,2",
      ]
    ),
    ("top 2 products by revenue", ["product,total revenue", "Desk,410", "Chair,201.97"]),
    ("bottom 2 regions by average revenue", ["region,average revenue", "West,50", "East,68.99"]),
    ("which region has the highest total revenue?", ["region,total revenue", "South,302.5"]),
    ("Which product had the most revenue", ["product,total revenue", "Desk,410"]),
    (
      "total revenue by month",
      [
        "month,total revenue", "2023-01,80.29", "2023-02,350.48", "2023-03,248", "2024-01,50", "2024-02,11",
        "2024-03,62",
      ]
    ),
    ("total revenue by year", ["year,total revenue", "2023,678.77", "2024,123"]),
    ("total revenue per quarter in 2023", ["quarter,total revenue", "2023-Q1,678.77"]),
    (
      "revenue by month of the year",
      ["month of the year,total revenue", "January,130.29", "February,361.48", "March,310"]
    ),
    (
      "average revenue by region and year",
      [
        "region,year,average revenue", "East,2023,68.99", "North,2023,96.7633333333",
        "North,2024,11", "South,2023,125.25", "South,2024,52", "West,2024,50",
      ]
    ),
    ("total revenue where region is North", ["total revenue", "301.29"]),
    ("total revenue for North", ["total revenue", "301.29"]),
    ("total revenue in North or South", ["total revenue", "603.79"]),
    (
      "total revenue by product where region is North or South",
      ["product,total revenue", "Chair,101.99", "Desk,410", "Lamp,91.8"]
    ),
    ("total revenue with unit price > 40", ["total revenue", "611.97"]),
    ("total revenue where unit_price between 40 and 100", ["total revenue", "201.97"]),
    ("total revenue where region is North and unit price is at least 49.99", ["total revenue", "259.99"]),
    ("count where region is North or product is Desk", ["rows", "5"]),
    ("total revenue excluding North", ["total revenue", "500.48"]),
    ("total revenue where region is not North", ["total revenue", "500.48"]),
    ("count rows where region is not North", ["rows", "8"]),
    ("count where region does not contain o", ["rows", "5"]),
    ("count where region is not North and region is not missing", ["rows", "7"]),
    ("total revenue in 2024", ["total revenue", "123"]),
    ("total revenue in March 2023", ["total revenue", "248"]),
    ("total revenue in March", ["total revenue", "310"]),
    ("total revenue since 2024-02", ["total revenue", "73"]),
    ("total revenue before 2023-02-14", ["total revenue", "130.79"]),
    ("count where region is missing", ["rows", "1"]),
    ("count where product contains chair", ["rows", "4"]),
    ("count where product is \"Chair, folding\"", ["rows", "1"]),
    ("total revenue where returned", ["total revenue", "260.5"]),
    ("revenue by region", ["region,total revenue", "East,137.98", "North,301.29", "South,302.5", "West,50"]),
    ("Chart regions", ["region,rows", "East,2", "North,4", "South,3", "West,2"]),
    (
      "latest: maximum date by region",
      ["region,maximum date", "East,2023-03-03", "North,2024-02-28", "South,2024-03-30", "West,2024-01-11"]
    ),
    ("most common product", ["product,rows", "Lamp,6", "Chair,3", "Desk,2", "\"Chair, folding\",1"]),
  ])
  func questions(objective: String, expected: [String]) async throws {
    let output = try await Self.run(objective)
    let rows = output.artifact("table.csv")?.split(separator: "\r\n").map(String.init)
    #expect(rows == expected, "\(objective)\n\(output.text)")
  }

  @Test func sentenceSaysWhatWasComputedAndSkipped() async throws {
    let text = try await Self.run("average revenue by region").text
    #expect(
      text.contains(
        "Average revenue by region, 4 groups, computed on 10 of 12 rows; "
          + "skipped: 1 without region and 1 without revenue."
      ), "\(text)")
    let filtered = try await Self.run("total revenue where region is North and unit_price > 10.5").text
    #expect(
      filtered.contains("computed on 3 of 12 rows (3 where region is 'North' and unit_price > 10.5)."), "\(filtered)")
    let assumed = try await Self.run("revenue by region").text
    #expect(assumed.contains("No way to sum up 'revenue' was named: its total was taken."), "\(assumed)")
    let ignored = try await Self.run("average revenue by region adjusted for inflation").text
    #expect(ignored.contains("Not understood and ignored: 'adjusted' and 'inflation'."), "\(ignored)")
  }

  @Test func comparedValuesStandSideBySide() async throws {
    #expect(
      try await Self.table("compare the total revenue of North and South by year") == [
        "year,region,total revenue", "2023,North,290.29", "2023,South,250.5", "2024,North,11", "2024,South,52",
      ])
    let counted = try await Self.run("How many returns were there per region?").text
    #expect(counted.contains("No column is called 'returns': rows were counted.") || counted.contains("returned"))
  }

  @Test func rowsAreListedSortedAndCut() async throws {
    let top = try await Self.table("show the 3 rows with the highest revenue")
    #expect(
      top == [
        "revenue,date,region,product,unit_price,quantity,returned", "210.00,2023-03-09,North,Desk,210.00,1,yes",
        "200.00,2023-02-14,South,Desk,200.00,1,no", "99.98,2023-02-20,East,Chair,49.99,2,no",
      ])
    let rows = try await Self.table("list rows where region is West")
    #expect(rows.count == 3 && rows[1].hasPrefix("2024-01-10,West,Lamp"))
  }

  @Test func negationSaysThatMissingCellsCount() async throws {
    let text = try await Self.run("count rows where region is not North").text
    #expect(text.contains("(8 where region is not 'North' (or is missing))"), "\(text)")
    let full = try await Self.run("count rows where product is not Lamp").text
    #expect(full.contains("(6 where product is not 'Lamp')"), "\(full)")
  }

  @Test(arguments: [
    ("first 3 rows", ["1", "2", "3"], "the first 3 of 5 shown"),
    ("show the first 3 rows", ["1", "2", "3"], "the first 3 of 5 shown"),
    ("show me the last two rows", ["4", "5"], "the last 2 of 5 shown"),
    ("show the first row", ["1"], "the first 1 of 5 shown"),
    ("show 2 rows", ["1", "2"], "the first 2 of 5 shown"),
    ("last 2 rows where v > 1 and v < 5", ["3", "4"], "the last 2 of 3 shown"),
    ("first 2 rows sorted by v descending", ["5", "4"], "the first 2 of 5 shown"),
  ])
  func firstAndLastRows(objective: String, values: [String], statement: String) async throws {
    let output = try await Self.run(objective, csv: "v\n1\n2\n3\n4\n5\n")
    #expect(output.artifact("table.csv") == (["v"] + values).joined(separator: "\r\n") + "\r\n", "\(objective)")
    #expect(output.text.contains(statement), "\(output.text)")
  }

  @Test(arguments: [
    ("what percentage of rows are north", "percentage, north"), ("What % of rows are north?", "%, north"),
    ("percentage of rows where region is North", "percentage"), ("share of revenue by region", "share"),
    ("show 5 rows flurb", "flurb"),
  ])
  func rowsAreNoAnswerToWhatWasNotUnderstood(objective: String, words: String) async throws {
    let error = await Self.code(objective)
    #expect(error?.code == "NOT_UNDERSTOOD")
    #expect(error?.details["words"] == words, "\(objective)")
    #expect(await Self.code("average revenue of the first 3 rows")?.code == "NOT_UNDERSTOOD")
  }

  @Test func resultsThatOverflowAreErrors() async throws {
    let csv = "v,w\n1e308,1\n1e308,2\n"
    for objective in ["total v", "average v", "describe the table"] {
      #expect(await Self.code(objective, csv: csv)?.code == "RESULT_TOO_LARGE", "\(objective)")
    }
    #expect(await Self.code("standard deviation of v", csv: "v\n1e308\n-1e308\n")?.code == "RESULT_TOO_LARGE")
    #expect(try await Self.table("median v", csv: csv) == ["median v", "1e+308"])
  }

  @Test func repeatedHeadersHaveToBeToldApart() async throws {
    let csv = "price,price,city\n1,10,Rome\n2,20,Oslo\n"
    for objective in ["average price by city", "total price", "count where price > 1"] {
      let error = await Self.code(objective, csv: csv)
      #expect(error?.code == "AMBIGUOUS_COLUMN", "\(objective)")
      #expect(error?.details["candidates"] == "price_1, price_2", "\(objective)")
    }
    #expect(try await Self.table("total price_2", csv: csv) == ["total price_2", "30"])
    #expect(try await Self.table("count by city", csv: csv) == ["city,rows", "Oslo,1", "Rome,1"])
    #expect(TypeInference.uniqueNames(["a", "A", "a_1", ""]) == ["a_2", "A_3", "a_1", "column 4"])
    #expect(await Self.code("total unit price", csv: "unit-price,UnitPrice\n1,2\n")?.code == "AMBIGUOUS_COLUMN")
  }

  @Test func describeCoversEveryColumn() async throws {
    let rows = try await Self.table("Describe this file")
    #expect(rows[0] == "column,type,values,missing,different,min,mean,median,max,most common")
    #expect(rows.count == 8)
    #expect(rows[2] == "region,text,11,1,4,,,,,North (4×)")
    #expect(rows[5] == "quantity,number,11,1,5,1,2,1,5,1 (6×)")
    #expect(rows[1].hasPrefix("date,date,12,0,12,2023-01-05,,,2024-03-31,"))
  }

  @Test func parametersOverrideTheObjective() async throws {
    let rows = try await Self.table(
      "average quantity by product",
      ["measure": "revenue", "aggregate": "sum", "group_by": "region", "filter": "region != West", "top": "2"])
    #expect(rows == ["region,total revenue", "South,302.5", "North,301.29"])
    let months = try await Self.table("anything", ["measure": "revenue", "aggregate": "max", "group_by": "date:year"])
    #expect(months == ["year,maximum revenue", "2023,210", "2024,52"])
    #expect(await Self.code("x", ["measure": "revenue", "aggregate": "mode"])?.code == "BAD_PARAMETER")
    #expect(await Self.code("x", ["measure": "revenue", "top": "many"])?.code == "BAD_TOP")
    #expect(await Self.code("x", ["measure": "revenue", "filter": "region"])?.code == "BAD_FILTER")
  }

  @Test(arguments: [
    ("average profit by region", "UNKNOWN_COLUMN"), ("average revenue by regoin", "UNKNOWN_COLUMN"),
    ("total revenue where colour is red", "UNKNOWN_COLUMN"), ("What is the margin?", "UNKNOWN_COLUMN"),
    ("top 5 customers by revenue", "UNKNOWN_COLUMN"),
    ("average product by region", "NOT_NUMERIC"), ("total revenue where unit_price > cheap", "BAD_FILTER"),
    ("total revenue where region > 5", "BAD_FILTER"), ("total revenue where region is Nowhere", "NO_MATCHING_ROWS"),
    ("average by region", "AMBIGUOUS_QUESTION"), ("top 5", "AMBIGUOUS_QUESTION"),
    ("top 99999 products by revenue", "BAD_TOP"),
  ])
  func unclearQuestions(objective: String, code: String) async throws {
    let error = await Self.code(objective)
    #expect(error?.code == code, "\(objective): \(error?.description ?? "")")
  }

  @Test func unknownColumnSuggestsTheClosest() async throws {
    let error = await Self.code("average revenue by regoin")
    #expect(
      error?.message
        == "There is no column like 'regoin'; columns: date, region, product, unit_price, quantity, revenue, "
        + "returned. Did you mean 'region'?")
    #expect(error?.details["suggestion"] == "region")
  }

  @Test func partOfANameFitsOneColumnOrIsAmbiguous() async throws {
    let csv = "station,temperature_min,temperature_max,wind_speed\nA,1,9,3\nB,2,8,5\n"
    #expect(try await Self.table("average wind by station", csv: csv) == ["station,average wind_speed", "A,3", "B,5"])
    let error = await Self.code("average temperature by station", csv: csv)
    #expect(error?.code == "AMBIGUOUS_COLUMN")
    #expect(error?.details["candidates"] == "temperature_min, temperature_max")
    let value = await Self.code("count for X", csv: "a,b\nX,Y\nY,X\n")
    #expect(value?.code == "AMBIGUOUS_VALUE")
  }

  @Test func inputsAreChosenOrAskedFor() async throws {
    #expect(
      await #expect(throws: ToolError.self) {
        _ = try await DataAnalyzeTool().run(.of("average price by region")) { _, _ in }
      }?.code == "MISSING_INPUT")
    for empty in ["", "\n \n", "\u{FEFF}"] { #expect(await Self.code("count", csv: empty)?.code == "EMPTY_INPUT") }
    #expect(await Self.code("count", csv: "a,b\n")?.code == "EMPTY_INPUT")
    let inputs = ["one.csv", "two.csv"].map {
      ToolInput(name: $0, mediaType: "text/csv", bytes: Array("a\n1\n2\n".utf8))
    }
    func call(_ objective: String) -> ToolCall {
      ToolCall(missionID: "m", objective: objective, parameters: [:], inputs: inputs, idempotencyKey: "k")
    }
    #expect(
      await #expect(throws: ToolError.self) {
        _ = try await DataAnalyzeTool().run(call("total a")) { _, _ in }
      }?.code == "AMBIGUOUS_INPUT")
    let output = try await DataAnalyzeTool().run(call("total a in two.csv")) { _, _ in }
    #expect(output.artifact("table.csv") == "total a\r\n3\r\n")
  }

  @Test func cancellationStopsTheTool() async throws {
    let rows = (0..<60_000).map { "\($0 % 97),\($0)" }.joined(separator: "\n")
    let csv = "k,v\n" + rows
    let task = Task { try await DataAnalyzeTool().run(.of("average v by k", csv: csv)) { _, _ in } }
    task.cancel()
    await #expect(throws: CancellationError.self) { _ = try await task.value }
  }
}

/// `data_analyze`: questions about one CSV, TSV or JSON table, asked in words or by parameters.
struct DataAnalyzeTool: Tool {
  let declaration = ToolDeclaration(
    name: "data_analyze",
    description:
      "Counts, sums, averages, filters, ranks and charts a CSV, TSV or JSON table, by the columns the objective names.",
    inputSchema: """
      {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
          "measure": {"type": "string", "description": "Column or columns to sum up, separated by commas."},
          "aggregate": {
            "type": "string", "enum": ["count", "distinct", "sum", "mean", "median", "min", "max", "stddev"]
          },
          "group_by": {
            "type": "string",
            "description": "Columns to group by, separated by commas; date columns can be cut: \\"date:month\\" \
      (year, quarter, month, week, day, hour, monthOfYear, weekday)."
          },
          "filter": {"type": "string", "description": "Which rows count, e.g. \\"region is North and price > 100\\"."},
          "top": {"type": "string", "description": "Only the first rows by the measure: \\"5\\" or \\"bottom 5\\"."},
          "chart": {"type": "string", "enum": ["automatic", "bar", "line", "point", "none"]},
          "input": {"type": "string", "description": "Which input to analyze, if there are several."}
        },
        "additionalProperties": false
      }
      """,
    intents: ["data_analysis": 0.9], hasSideEffects: false, isIdempotent: true, risk: .low, timeLimit: .seconds(120),
    maximumInputBytes: DataLoader.maximumBytes, maximumOutputBytes: 16 * 1024 * 1024)

  func run(_ call: ToolCall, progress: @escaping ToolProgress) async throws -> ToolOutput {
    let input = try InputChoice.table(call)
    return try await onWorkerThread(progress: progress) { work in
      work.report(0, "Reading \(input.name) (\(counted(input.bytes.count, "byte")))")
      let table = try DataLoader.load(input) { fraction in
        try work.checkCancellation()
        work.report(0.05 + 0.5 * fraction, "Reading \(input.name)")
      }
      work.report(0.6, "Read \(counted(table.rowCount, "row")) of \(counted(table.columns.count, "column"))")
      let check = { try work.checkCancellation() }
      let query = try QueryPlanner.plan(call, table: table, check: check)
      work.report(0.7, "Computing")
      let result = try QueryEngine(table: table, check: check).run(query)
      work.report(0.9, "Writing \(counted(result.rows.count, "row"))")
      let output = Self.output(result, query, bytesRead: input.bytes.count)
      work.report(1, "Analyzed")
      return output
    }
  }

  private static func output(_ result: QueryResult, _ query: DataQuery, bytesRead: Int) -> ToolOutput {
    let csv = CSVWriter.write(header: result.columns.map(\.title), rows: result.rows.map { $0.map(\.text) })
    var artifacts = [ToolArtifact(name: "table.csv", mediaType: "text/csv", bytes: csv)]
    if let chart = ChartSpec.make(result, query) {
      artifacts.append(ToolArtifact(name: "chart.vl.json", mediaType: ChartSpec.mediaType, text: chart.pretty))
    }
    return ToolOutput(text: AnswerText.make(result), artifacts: artifacts, bytesRead: bytesRead)
  }
}

/// Picks the input that an objective is about.
enum InputChoice {
  /// Throws `MISSING_INPUT`, `AMBIGUOUS_INPUT`.
  static func table(_ call: ToolCall) throws -> ToolInput {
    if let name = call.parameter("input") {
      guard let input = call.inputs.first(where: { $0.name == name }) else {
        throw ToolError(
          "MISSING_INPUT", "There is no input '\(name)'; inputs: \(call.inputs.map(\.name).joined(separator: ", ")).",
          details: ["input": name])
      }
      return input
    }
    guard !call.inputs.isEmpty else {
      throw ToolError("MISSING_INPUT", "There is no table to analyze; attach a CSV, TSV or JSON file.")
    }
    let tables = call.inputs.count == 1 ? call.inputs : call.inputs.filter(looksLikeTable)
    let named = tables.filter { call.objective.lowercased().contains($0.name.lowercased()) }
    if named.count == 1 { return named[0] }
    if tables.count == 1 { return tables[0] }
    guard !tables.isEmpty else {
      throw ToolError("MISSING_INPUT", "None of the inputs is a CSV, TSV or JSON table.")
    }
    throw ToolError(
      "AMBIGUOUS_INPUT", "There are several tables: \(listed(tables.map(\.name))); name one of them in the objective.",
      details: ["candidates": tables.map(\.name).joined(separator: ", ")])
  }

  static func looksLikeTable(_ input: ToolInput) -> Bool {
    looksLikeTable(name: input.name, mediaType: input.mediaType)
  }

  static func looksLikeTable(name: String, mediaType: String) -> Bool {
    let type = mediaType.lowercased(), name = name.lowercased()
    return ["csv", "tab-separated", "json"].contains(where: type.contains)
      || [".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".tab"].contains(where: name.hasSuffix)
  }
}

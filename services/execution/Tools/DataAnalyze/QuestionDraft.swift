/// What the parser found, before the gaps are filled.
struct QuestionDraft: Sendable {
  var measures: [Measure] = []
  var groups: [GroupKey] = []
  var filter: RowFilter?
  var top: Top?
  /// "The first 5 rows".
  var slice: RowSlice?
  /// What "top N … by" ranks by.
  var ranking: (aggregate: Aggregate?, column: Int?)?
  /// The column behind "which".
  var subject: Int?
  var sort: (column: Int, descending: Bool)?
  /// Columns that were mentioned without saying what for.
  var bare: [Int] = []
  /// Aggregates that still wait for a column, with the position of their word.
  var pending: [(Aggregate, Int)] = []
  var aggregateWithoutColumn: Aggregate?
  /// The column whose values "compare Oslo and Rome" sets against each other.
  var compared: Int?
  /// A number that belongs to a clause behind it.
  var looseNumber: DataWord?
  /// The 5 of "show 5 rows".
  var countedRows: Int?
  var chart: ChartChoice = .automatic
  var wantsChart = false, wantsDescription = false, wantsRows = false, wantsScatter = false, overTime = false
  var assumptions: [String] = []
  var ignored: [String] = []
  /// A mention that fits several columns.
  var ambiguity: ToolError?

  mutating func add(_ key: GroupKey) {
    if !groups.contains(key) { groups.append(key) }
  }

  mutating func add(_ condition: RowFilter) {
    filter = filter.map { .all([$0, condition]) } ?? condition
  }
}

enum QueryLimits {
  /// Rows a result may have.
  static let outputRows = 10_000
  /// Different groups that are held in memory.
  static let groups = 500_000
}

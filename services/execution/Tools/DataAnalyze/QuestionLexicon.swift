/// The phrases that give an objective its structure.
enum QuestionLexicon {
  enum Clause: Sendable, Hashable {
    case aggregate(Aggregate)
    case groupBy, overTime
    case filter, exclude
    /// "in", "for", "from" …: a filter only if a value or period follows.
    case soft
    case top(largest: Bool)
    /// "highest", "largest": a maximum, or a ranking if a number or "with the" is near.
    case extreme(largest: Bool)
    case chart(ChartChoice)
    case describe, rows, which, scatter, versus, sort
  }

  /// Phrases as stems, separated by bars.
  private static let all: [(words: [String], clause: Clause)] = [
    make("average|avg|mean|averaged", .aggregate(.mean)),
    make("sum|total|sum of|sum up|add up|summed|overall", .aggregate(.sum)),
    make(
      "how many different|how many distinct|how many unique|number of different|number of distinct|number of unique"
        + "|count distinct|distinct count of|count of distinct|count of different|count of unique",
      .aggregate(.distinct)),
    make("how many|count|number of|count of|frequency of|frequency", .aggregate(.count)),
    make("minimum|min", .aggregate(.min)), make("maximum|max", .aggregate(.max)), make("median", .aggregate(.median)),
    make("standard deviation of|standard deviation|std dev|stddev|std", .aggregate(.stddev)),
    make("highest|largest|biggest|greatest|most|best", .extreme(largest: true)),
    make("lowest|smallest|least|fewest|worst|cheapest", .extreme(largest: false)),
    make("top", .top(largest: true)), make("bottom", .top(largest: false)),
    make(
      "by|per|for each|for every|grouped by|group by|broken down by|split by|across|in each|each|for each of",
      .groupBy),
    make("over time|trend", .overTime),
    make("where|whose|for which|having|only|when|given|filter by|filtered by|filter|if|with", .filter),
    make("excluding|except|except for|without|not counting|ignoring|exclude|other than", .exclude),
    make("in|for|during|from|since|before|after|until|between|at|on|of", .soft),
    make("bar chart|bar graph|histogram|bar plot|column chart", .chart(.bar)),
    make("line chart|line graph|line plot|time series", .chart(.line)),
    make("scatter plot|scatterplot|scatter chart|scatter graph|scatter", .scatter),
    make("chart|plot|graph|visualize|visualise|draw|diagram", .chart(.automatic)),
    make(
      "describe|summarize|summarise|summary|summary of|overview|overview of|profile|statistic|summary statistic"
        + "|descriptive statistic|stat|what is in", .describe),
    make("list|show row|show all|all row|row|record", .rows),
    make("which|who", .which), make("v|vs|versus|against|compared to", .versus),
    make("relationship between|correlation between|correlation of|correlate", .scatter),
    make("sorted by|sort by|ordered by|order by|ranked by|rank by|sort", .sort),
  ]

  private static func make(_ phrases: String, _ clause: Clause) -> (words: [String], clause: Clause) {
    (phrases.split(separator: "|").map(String.init), clause)
  }

  /// The clause that starts at `index` and how many words it takes.
  static func clause(_ tokens: [DataWord], at index: Int) -> (clause: Clause, length: Int)? {
    guard index < tokens.count, tokens[index].kind == .word else { return nil }
    return flattened.first { entry in
      entry.words.count <= tokens.count - index
        && zip(entry.words, tokens[index...]).allSatisfy { $1.kind == .word && ($0 == $1.stem || $0 == $1.lower) }
    }.map { ($0.clause, $0.words.count) }
  }

  /// Longest first.
  private static let flattened: [(words: [String], clause: Clause)] =
    all.flatMap { entry in entry.words.map { ($0.split(separator: " ").map(String.init), entry.clause) } }
    .sorted { $0.0.count > $1.0.count }

  /// Words that ask for a computation this tool does not have; a result without it would answer another question.
  static let unsupported: Set<String> = [
    "%", "percent", "percentage", "pct", "proportion", "fraction", "share", "ratio", "percentile", "quantile",
    "quartile", "variance", "mode", "cumulative", "running", "growth", "forecast", "predict", "prediction",
    "regression",
  ]

  /// Words that may stand anywhere without meaning.
  static let filler: Set<String> = [
    "a", "an", "the", "all", "its", "their", "and", "then", "please", "can", "could", "you", "me", "i", "we", "us",
    "my", "our",
    "is", "are", "was", "were", "be", "been", "do", "does", "did", "has", "have", "had", "there", "this", "that",
    "these", "those",
    "it", "they", "show", "give", "tell", "find", "get", "make", "create", "compute", "calculate", "analyze", "analyse",
    "want",
    "need", "see", "know", "display", "report", "print", "produce", "generate", "compare", "what", "what's", "whats",
    "how",
    "much", "value", "column", "field", "data", "dataset", "file", "table", "csv", "tsv", "json", "attached", "input",
    "given",
    "as", "to", "with", "using", "use", "into", "also", "result", "each", "every", "from", "in", "on", "for", "of",
    "at", "by",
    "per", "along", "together", "so", "just", "let", "would", "like", "number", "level", "come", "out", "up",
    "following", "spreadsheet",
    "group", "answer", "question", "work", "determine", "here", "descending", "ascending", "order", "desc", "asc",
    "thanks", "thank", "kindly", "hi", "hello", "hey", "buddy", "some", "any", "whole", "entire", "full", "complete",
  ]
}

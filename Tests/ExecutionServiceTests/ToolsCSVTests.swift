import Testing

@testable import ExecutionService

@Suite struct CSVTests {
  static func read(_ text: String, delimiter: Character = ",") throws -> (header: [String], rows: [[String]]) {
    let bytes = Array(text.utf8)
    let (header, cells) = try CSVReader.read(bytes, delimiter: delimiter.asciiValue ?? 0x2C)
    let rows = (0..<cells.rowCount).map { row in
      (0..<cells.columnCount).map { String(decoding: cells.bytes[cells.range(row, $0)], as: UTF8.self) }
    }
    return (header, rows)
  }

  @Test func quotesNewlinesAndLineEnds() throws {
    let (header, rows) = try Self.read("a,b\r\n\"1,5\",\"say \"\"hi\"\"\"\r\n\"two\nlines\",x\rlast,\"\"\n\n")
    #expect(header == ["a", "b"])
    #expect(rows == [["1,5", "say \"hi\""], ["two\nlines", "x"], ["last", ""]])
  }

  @Test func quoteInsideAPlainFieldIsTaken() throws {
    #expect(try Self.read("a,b\n5\" pipe,x\n").rows == [["5\" pipe", "x"]])
  }

  @Test(arguments: [
    ("a,b\n1,2\n3\n", "3"), ("a,b\n1,2,3\n", "2"), ("a,b\n\"x\ny\",1\n\"open,2\n", "4"), ("a,b\n\"x\"y,2\n", "2"),
    ("a,b\n\n\n1\n", "4"), ("a,b\r\n1,2\r\n\"q\r\nr\",2\r\n9\r\n", "5"),
  ])
  func brokenFilesNameTheirLine(text: String, line: String) {
    let error = #expect(throws: ToolError.self) { _ = try Self.read(text) }
    #expect(error?.code == "MALFORMED_CSV")
    #expect(error?.details["line"] == line, "\(error?.message ?? "")")
  }

  @Test(arguments: [
    ("a;b;c\n1,5;2;3\n", UInt8(ascii: ";")), ("a\tb\n1,2\t3\n", UInt8(ascii: "\t")), ("a|b\n1|2\n", UInt8(ascii: "|")),
    ("a,b\n\"x;y;z\",2\n", UInt8(ascii: ",")), ("name\nx\n", UInt8(ascii: ",")),
    ("a;b\n\"x,y\";\"z,w\"\n", UInt8(ascii: ";")),
  ])
  func delimiterIsFound(text: String, delimiter: UInt8) {
    #expect(CSVFormat.delimiter(of: Array(text.utf8), from: 0) == delimiter)
  }

  @Test(
    arguments: [
      ([0xFF, 0x41], 1), ([0x61, 0x0A, 0xC3, 0x28], 2), ([0xED, 0xA0, 0x80], 1), ([0xF4, 0x90, 0x80, 0x80], 1),
      ([0xE2, 0x82], 1), ([0xC0, 0xAF], 1), ([0x61, 0x0A, 0x0A, 0x00], 3), ([0xF0, 0x9F, 0x98], 1),
    ] as [([UInt8], Int)])
  func invalidUTF8IsRefusedWithItsLine(bytes: [UInt8], line: Int) {
    let error = #expect(throws: ToolError.self) { _ = try CSVFormat.checkEncoding(bytes) }
    #expect(error?.code == "INVALID_ENCODING")
    #expect(error?.details["line"] == String(line))
  }

  @Test func validUTF8AndByteOrderMark() throws {
    #expect(try CSVFormat.checkEncoding(Array("héllo 😀 \u{FFFD}".utf8)) == 0)
    #expect(try CSVFormat.checkEncoding([0xEF, 0xBB, 0xBF, 0x61]) == 3)
    #expect(
      #expect(throws: ToolError.self) { _ = try CSVFormat.checkEncoding([0xFF, 0xFE, 0x61, 0]) }?.message.contains(
        "UTF-16") == true)
  }

  /// What the writer writes, the reader reads back.
  @Test func randomTablesSurviveARoundTrip() throws {
    let seed = UInt64.random(in: 0...UInt64.max)
    print("csv round trip seed \(seed)")
    var random = SplitMix(seed: seed)
    let pieces = ["", "a", ",", "\"", "\n", "\r\n", " ", "é", "😀", ";", "\t", "x y", "\"\"", "0"]
    for _ in 0..<300 {
      let columns = random.int(1...5)
      let rows = (0..<random.int(1...8)).map { _ in
        (0..<columns).map { _ in
          (0..<random.int(0...4)).map { _ in pieces[random.int(0...(pieces.count - 1))] }.joined()
        }
      }
      let header = (0..<columns).map { "h\($0)" }
      let written = CSVWriter.write(header: header, rows: rows)
      let (readHeader, cells) = try CSVReader.read(written, delimiter: UInt8(ascii: ","))
      let read = (0..<cells.rowCount).map { row in
        (0..<columns).map { String(decoding: cells.bytes[cells.range(row, $0)], as: UTF8.self) }
      }
      #expect(readHeader == header && read == rows, "seed \(seed)")
    }
  }

  /// Every sum by group adds up to the total, exactly, whatever the decimals.
  @Test func groupSumsAddUpToTheTotal() async throws {
    let seed = UInt64.random(in: 0...UInt64.max)
    print("group sum seed \(seed)")
    var random = SplitMix(seed: seed)
    for _ in 0..<20 {
      var total = 0
      let rows = (0..<random.int(5...200)).map { _ -> String in
        let cents = random.int(-1_000_000...1_000_000)
        total += cents
        return "g\(random.int(0...7)),\(Numeric.text(Int128(cents), scale: 2))"
      }
      let csv = "key,amount\n" + rows.joined(separator: "\n")
      let output = try await DataAnalyzeTool().run(.of("total amount by key", csv: csv)) { _, _ in }
      let table = try Self.read(output.artifact("table.csv") ?? "")
      var sum = 0
      for row in table.rows {
        let value = try #require(NumberText.parse(row[1]))
        sum += Int(value.coefficient) * [100, 10, 1][Int(value.scale)]
      }
      #expect(sum == total, "seed \(seed)")
    }
  }

  @Test(arguments: [
    ("1,234.56", 1234.56), ("$1,000", 1000), ("€ 12.50", 12.5), ("12.50 EUR", 12.5), ("(1,234)", -1234), ("-$5", -5),
    ("$-5", -5), ("15%", 15), ("1e3", 1000), ("+7", 7), (".5", 0.5), ("1 234 567", 1_234_567), ("1\u{A0}234", 1234),
    ("1'234.5", 1234.5), ("12345678901234567890", 1.2345678901234567e19), ("−3", -3),
  ])
  func numbersAsPeopleWriteThem(text: String, value: Double) {
    #expect(NumberText.parse(text)?.double == value)
  }

  @Test(arguments: [
    "", "abc", "1,23", "1,2345", "12,34,567", "1.2.3", "--5", "1-2", "$", "%", "e5", "1e", "0x10", "1,234,", "nan",
    "inf",
  ])
  func notNumbers(text: String) {
    #expect(NumberText.parse(text) == nil)
  }

  @Test func decimalCommaIsFoundFromTheColumn() async throws {
    let csv = "stadt;betrag\nRom;1.234,50\nOslo;2,25\nRom;10\n"
    let output = try await DataAnalyzeTool().run(.of("total betrag by stadt", csv: csv)) { _, _ in }
    #expect(output.artifact("table.csv") == "stadt,total betrag\r\nOslo,2.25\r\nRom,1244.5\r\n")
  }

  @Test(arguments: [
    ("2023-01-31", 19_388), ("2023/1/31", 19_388), ("31.01.2023", 19_388), ("31/01/2023", 19_388),
    ("31 Jan 2023", 19_388),
    ("Jan 31, 2023", 19_388), ("January 31st, 2023", 19_388), ("31-Jan-23", 19_388),
    ("Tuesday, 31 January 2023", 19_388),
    ("2023-01-31T23:59:59Z", 19_388), ("2023-02-01 01:00:00+02:00", 19_388), ("2024-02-29", 19_782), ("1969-12-31", -1),
    ("1/2/23", 19_389),
  ])
  func dates(text: String, day: Int) throws {
    let date = try #require(DateText.parse(text), "\(text)")
    #expect(DatePartKey.day(date.seconds) == day)
  }

  @Test(arguments: [
    "2023-02-30", "2023-13-01", "31/31/2023", "hello", "2023", "12345678", "1.2.3.4", "10 apples", "2023-01-31x",
  ])
  func notDates(text: String) {
    #expect(DateText.parse(text) == nil)
  }

  @Test func dateOrderComesFromTheWholeColumn() async throws {
    let american = "day,v\n01/02/2023,1\n01/31/2023,2\n"
    let european = "day,v\n01/02/2023,1\n31/01/2023,2\n"
    func months(_ csv: String) async throws -> String? {
      try await DataAnalyzeTool().run(.of("total v by month", csv: csv)) { _, _ in }.artifact("table.csv")
    }
    #expect(try await months(american) == "month,total v\r\n2023-01,3\r\n")
    #expect(try await months(european) == "month,total v\r\n2023-01,2\r\n2023-02,1\r\n")
  }
}

import Testing

@testable import ExecutionService

/// Golden values were computed with Python's `fractions` and `decimal` and the unit definitions of NIST SP 811.
@Suite struct CalculateTests {
  static func run(_ objective: String) async throws -> ToolOutput {
    try await CalculateTool().run(.of(objective)) { _, _ in }
  }

  static func line(_ objective: String) async throws -> String {
    String(try await run(objective).text.split(separator: "\n")[0])
  }

  @Test(arguments: [
    ("What is 17.5% of 2,340?", "17.5% of 2,340 = 409.5"),
    ("calculate (3+4)*2^10", "(3 + 4) × 2^10 = 7,168"),
    ("0.1 + 0.2", "0.1 + 0.2 = 0.3"),
    ("What is 1/3 + 1/6?", "1 / 3 + 1 / 6 = 0.5"),
    ("10/3", "10 / 3 ≈ 3.3333333333333333333"),
    ("5!", "5! = 120"),
    ("what is 5 factorial?", "5! = 120"),
    ("What is 5! = ?", "5! = 120"), ("what is 5 !?", "5! = 120"), ("(3!)!", "(3!)! = 720"),
    ("2^-3", "2^-3 = 0.125"),
    ("-2^2", "-2^2 = -4"),
    ("2^3^2", "2^3^2 = 512"),
    ("8 - 3 - 2", "8 - 3 - 2 = 3"),
    ("8 / 4 / 2", "8 / 4 / 2 = 1"),
    ("10 % 3", "10 mod 3 = 1"),
    ("-7 mod 3", "-7 mod 3 = 2"),
    ("200 + 10%", "200 + 10% = 220"),
    ("20% off 80", "80 - 20% = 64"),
    ("increase 200 by 15%", "200 + 15% = 230"),
    ("add 5 and 7", "5 + 7 = 12"),
    ("subtract 3 from 10", "10 - 3 = 7"),
    ("divide 10 by 4", "10 / 4 = 2.5"),
    ("multiply 3 by 4.5", "3 × 4.5 = 13.5"),
    ("What's the square root of 144?", "sqrt(144) = 12"),
    ("sqrt(2)", "sqrt(2) ≈ 1.4142135623731"),
    ("the average of 3, 4 and 8", "mean(3, 4, 8) = 5"),
    ("median of 3, 9, 4, 8", "median(3, 9, 4, 8) = 6"),
    ("Please compute the sum of 3 and 4.", "sum(3, 4) = 7"),
    ("max(1,200)", "max(1, 200) = 200"),
    ("round(2/3, 4)", "round(2 / 3, 4) = 0.6667"),
    ("round(-2.5)", "round(-2.5) = -3"),
    ("floor(-7/2) + ceil(7/2)", "floor(-7 / 2) + ceil(7 / 2) = 0"),
    ("log(1000)", "log(1,000) = 3"),
    ("log(8, 2)", "log(8, 2) = 3"),
    ("ln(e)", "ln(e) ≈ 1"),
    ("sin(30 deg)", "sin(30 deg) ≈ 0.5"),
    ("sin(pi)", "sin(pi) ≈ 0"),
    ("27^(1/3)", "27^(1 / 3) = 3"),
    ("cbrt(-27)", "cbrt(-27) = -3"),
    ("(1/4)^(-1/2)", "(1 / 4)^(-1 / 2) = 2"),
    ("gcd(84, 36) + lcm(4, 6)", "gcd(84, 36) + lcm(4, 6) = 24"),
    ("0xFF + 0b101", "255 + 5 = 260"),
    ("1.5e3 * 2", "1,500 × 2 = 3,000"),
    ("3 × 4 ÷ 6", "3 × 4 / 6 = 2"),
    ("what is 3 times 4 plus 2", "3 × 4 + 2 = 14"),
    ("2 to the power of 10", "2^10 = 1,024"),
    ("12 squared", "12^2 = 144"),
    ("2^100", "2^100 = 1,267,650,600,228,229,401,496,703,205,376"),
    ("What is 17.5% of $2,340?", "17.5% of 2,340 USD = 409.5 USD"),
    ("15 percent of 80", "15% of 80 = 12"),
    ("2 (3 + 4)", "2 (3 + 4) = 14"),
    ("5 million / 4", "5 million / 4 = 1,250,000"),
    ("what is 100 / 7 to 5 decimals", "round(100 / 7, 5) = 14.28571"),
    ("round 3.14159 to 2 decimals", "round(3.14159, 2) = 3.14"),
    ("calculate the VAT of 19% on 250", "19% of 250 = 47.5"),
    ("tip of 18% on $64.50", "18% of 64.5 USD = 11.61 USD"),
    ("what do 12 eggs at 0.35 each come to", "12 × 0.35 = 4.2"),
  ])
  func arithmetic(objective: String, expected: String) async throws {
    #expect(try await Self.line(objective) == expected)
  }

  @Test(arguments: [
    ("convert 12 km to miles", "12 km in miles = 31250/4191 mi ≈ 7.4564543068480076354 mi"),
    ("how many seconds in 3 days", "3 days in seconds = 259,200 s"),
    ("How many feet are there in 2 miles?", "2 miles in feet = 10,560 ft"),
    ("sqrt(2) * 5 m in ft", "sqrt(2) × 5 m in ft ≈ 23.1990413775114 ft"),
    ("5 km + 300 m", "5 km + 300 m = 5.3 km"),
    ("60 km / 2 h", "60 km / 2 h = 30 km/h"),
    ("100 km/h in mph", "100 km / h in mph = 781250/12573 mph ≈ 62.137119223733396962 mph"),
    ("100 °F in °C", "100 °F in °C = 340/9 °C ≈ 37.777777777777777778 °C"),
    ("convert 37 celsius to fahrenheit", "37 celsius in fahrenheit = 98.6 °F"),
    ("-40 °F to °C", "-40 °F in °C = -40 °C"),
    ("300 K in C", "300 K in C = 26.85 °C"),
    ("30 °C - 10 °C", "30 °C - 10 °C = 20 K"),
    ("20 °C + 5 K", "20 °C + 5 K = 25 °C"),
    ("12 in in cm", "12 in in cm = 30.48 cm"),
    ("5 in to ft", "5 in in ft = 5/12 ft"),
    ("1 GiB in MB", "1 GiB in MB = 1,073.741824 MB"),
    ("100 MB / 10 Mbps in s", "100 MB / 10 Mbps in s = 80 s"),
    ("2 kWh in MJ", "2 kWh in MJ = 7.2 MJ"),
    ("1 kg * 9.8 m/s^2 in N", "1 kg × 9.8 m / s^2 in N = 9.8 N"),
    ("5 m * 3 ft", "5 m × 3 ft = 4.572 m²"),
    ("sqrt(16 m^2)", "sqrt(16 m^2) = 4 m"),
    ("10 square feet in m^2", "10 feet^2 in m^2 = 0.9290304 m²"),
    ("1 acre in square meters", "1 acre in meters^2 = 4,046.8564224 m²"),
    ("60 miles per hour in m/s", "60 miles / hour in m / s = 26.8224 m/s"),
    ("how many days in a year", "1 year in days = 365.2425 d"),
    ("how many ounces in a pound", "1 pound in ounces = 16 oz"),
    ("2 hours 30 min in minutes", "2 hours + 30 min in minutes = 150 min"),
    ("5 ft 11 in in cm", "5 ft + 11 in in cm = 180.34 cm"),
    ("2 * 5 ft 6 in", "2 × (5 ft + 6 in) = 11 ft"),
    ("180 deg in rad", "180 deg in rad ≈ 3.14159265358979 rad"),
    ("12 KM in Miles", "12 KM in Miles = 31250/4191 mi ≈ 7.4564543068480076354 mi"),
    ("3 nautical miles in km", "3 nautical_miles in km = 5.556 km"),
    ("1 psi in Pa", "1 psi in Pa = 8896443230521/1290320000 Pa ≈ 6,894.7572931683613367 Pa"),
  ])
  func units(objective: String, expected: String) async throws {
    let line = try await Self.line(objective)
    #expect(line.hasPrefix(expected), "\(line)")
  }

  @Test(arguments: [
    ("5 m + 3 kg", "UNIT_MISMATCH"), ("convert 3 kg to miles", "UNIT_MISMATCH"), ("$5 + €3", "UNIT_MISMATCH"),
    ("20 °C + 5 °C", "UNIT_MISMATCH"), ("2 * 20 °C", "UNIT_MISMATCH"), ("sin(3 m)", "UNIT_MISMATCH"),
    ("2^(3 m)", "UNIT_MISMATCH"), ("sqrt(2 m)", "UNIT_MISMATCH"), ("max(1 m, 2 s)", "UNIT_MISMATCH"),
    ("1/0", "DIVISION_BY_ZERO"), ("0^-1", "DIVISION_BY_ZERO"), ("5 mod 0", "DIVISION_BY_ZERO"),
    ("9^9^9^9", "RESULT_TOO_LARGE"), ("10^10001", "RESULT_TOO_LARGE"), ("1e99999999", "RESULT_TOO_LARGE"),
    ("99999!", "RESULT_TOO_LARGE"), ("2^(2^64)", "RESULT_TOO_LARGE"), ("exp(10000)", "RESULT_TOO_LARGE"),
    ("(10^9000)*(10^9000)", "RESULT_TOO_LARGE"),
    ("sqrt(-1)", "DOMAIN_ERROR"), ("log(0)", "DOMAIN_ERROR"), ("asin(2)", "DOMAIN_ERROR"),
    ("tan(90 deg)", "DOMAIN_ERROR"),
    ("(-3)!", "DOMAIN_ERROR"), ("2.5!", "DOMAIN_ERROR"), ("(-8)^(1/2)", "DOMAIN_ERROR"),
    ("What is 3!!!!?", "REPEATED_FACTORIAL"), ("170!!", "REPEATED_FACTORIAL"), ("2 + 4! !", "REPEATED_FACTORIAL"),
    ("factorial of 3!", "REPEATED_FACTORIAL"),
    ("3 + ", "SYNTAX_ERROR"), ("(3 + 4", "SYNTAX_ERROR"), ("3 + 4)", "SYNTAX_ERROR"), ("3 4", "SYNTAX_ERROR"),
    ("1,5 + 2", "SYNTAX_ERROR"), ("2 # 3", "SYNTAX_ERROR"), ("5 m in 3 ft", "SYNTAX_ERROR"),
    ("sqrt(1, 2)", "WRONG_ARGUMENTS"), ("max() + 1", "WRONG_ARGUMENTS"),
    ("3 + frobs", "UNKNOWN_NAME"), ("3 kilometrs in m", "UNKNOWN_NAME"), ("5 mb in kB", "UNKNOWN_NAME"),
    ("hello there", "NO_EXPRESSION"), ("", "NO_EXPRESSION"), ("calculate", "NO_EXPRESSION"),
  ])
  func errors(objective: String, code: String) async throws {
    let error = await #expect(throws: ToolError.self) { _ = try await Self.run(objective) }
    #expect(error?.code == code, "\(objective): \(error?.description ?? "none")")
  }

  @Test func deepNestingAndLengthAreRefused() async throws {
    let deep = String(repeating: "(", count: 500) + "1" + String(repeating: ")", count: 500)
    #expect(await #expect(throws: ToolError.self) { _ = try await Self.run(deep) }?.code == "EXPRESSION_TOO_DEEP")
    let minuses = String(repeating: "-", count: 1_900) + "1"
    #expect(await #expect(throws: ToolError.self) { _ = try await Self.run(minuses) }?.code == "EXPRESSION_TOO_DEEP")
    let long = String(repeating: "1+", count: 1_000) + "1"
    #expect(await #expect(throws: ToolError.self) { _ = try await Self.run(long) }?.code == "EXPRESSION_TOO_LONG")
    let wide = String(repeating: "1+", count: 900) + "1"
    #expect(try await Self.line(wide).hasSuffix("= 901"))
  }

  @Test func suggestionNamesTheLikelyWord() async throws {
    let error = await #expect(throws: ToolError.self) { _ = try await Self.run("3 kilometrs in m") }
    #expect(error?.details["suggestion"] == "kilometres" || error?.details["suggestion"] == "kilometers")
  }

  @Test func parameterWinsOverObjectiveAndArtifactIsJSON() async throws {
    let call = ToolCall(
      missionID: "m", objective: "What is 1+1?", parameters: ["expression": "22/7"], inputs: [], idempotencyKey: "k")
    let output = try await CalculateTool().run(call) { _, _ in }
    #expect(output.text.hasPrefix("22 / 7 ≈ 3.1428571428571428571"))
    #expect(output.text.contains("exactly 3.(142857)"))
    let json = try JSONFields(output.artifacts[0].bytes)
    #expect(output.artifacts[0].name == "result.json")
    #expect(json.string("fraction") == "22/7")
    #expect(json.string("decimal") == "3.1428571428571428571")
  }

  /// (a/b + c/d) · e computed by the tool equals cross-multiplied integers computed here.
  @Test func randomRationalsAgreeWithIntegerArithmetic() async throws {
    let seed = UInt64.random(in: 0...UInt64.max)
    print("calculate property seed \(seed)")
    var random = SplitMix(seed: seed)
    for _ in 0..<200 {
      let (a, c, e) = (random.int(-999...999), random.int(-999...999), random.int(-99...99))
      let (b, d) = (random.int(1...999), random.int(1...999))
      let expression = try ExpressionParser.parse("((\(a))/\(b) + (\(c))/\(d)) * (\(e))")
      let value = try Evaluator().evaluate(expression).number
      let expected = try Rational((a * d + c * b) * e, over: b * d)
      #expect(value == .exact(expected), "seed \(seed): \(expression.text)")
    }
  }

  @Test func progressRisesToOne() async throws {
    let log = ProgressLog()
    _ = try await CalculateTool().run(.of("1+1"), progress: log.append)
    let fractions = log.entries.map(\.0)
    #expect(fractions == fractions.sorted() && fractions.last == 1)
  }
}

import Messages
import Testing

@testable import BuddyCLI

@Suite("Values as people write and read them")
struct ValueTextTests {
  @Test(
    "spans of time",
    arguments: [
      ("30s", 30_000), ("5m", 300_000), ("1h30m", 5_400_000), ("250ms", 250), ("2d", 172_800_000), ("1.5s", 1500),
      ("10min", 600_000), ("0s", 0),
    ] as [(String, Int64)])
  func duration(_ text: String, _ milliseconds: Int64) {
    #expect(DurationText.parse(text) == .milliseconds(milliseconds))
  }

  @Test(
    "what is no span of time",
    arguments: ["", "30", "s", "-5s", "5 s", "5x", "1.2.3s", ".5s", "99999999d", "1e9s", "٣s", "5s6"])
  func noDuration(_ text: String) { #expect(DurationText.parse(text) == nil) }

  @Test(
    "clocks",
    arguments: [
      (0, "0:00"), (3.9, "0:03"), (59, "0:59"), (60, "1:00"), (754, "12:34"), (3723, "1:02:03"),
      (183_845, "2d 03:04:05"), (-5, "0:00"),
    ] as [(Double, String)])
  func clock(_ seconds: Double, _ text: String) { #expect(DurationText.clock(.seconds(seconds)) == text) }

  @Test(
    "spans that are over",
    arguments: [(0, "0 ms"), (0.25, "250 ms"), (3.29, "3.2 s"), (245, "4 min 5 s"), (7380, "2 h 3 min")]
      as [(Double, String)])
  func spoken(_ seconds: Double, _ text: String) { #expect(DurationText.spoken(.seconds(seconds)) == text) }

  @Test(
    "amounts of money",
    arguments: [
      ("0.50", 500_000, "USD"), ("12", 12_000_000, "USD"), ("$0.5", 500_000, "USD"), ("0.000001", 1, "USD"),
      ("0.50 EUR", 500_000, "EUR"), ("3eur", 3_000_000, "EUR"), ("0", 0, "USD"),
      ("9223372036854.775807", .max, "USD"),
    ] as [(String, Int64, String)])
  func money(_ text: String, _ micros: Int64, _ currency: String) {
    #expect(MoneyText.parse(text) == Money(micros: micros, currency: currency))
  }

  @Test(
    "what is no amount of money",
    arguments: [
      "", "-1", "1.", ".5", "1.0000001", "1,50", "1 EURO", "$1 EUR", "USD", "1.2.3", "9223372036854.775808", "1e3", "٣",
    ])
  func noMoney(_ text: String) { #expect(MoneyText.parse(text) == nil) }

  @Test("money is written with two to six decimals")
  func moneyFormat() {
    #expect(MoneyText.format(Money(micros: 500_000, currency: "USD")) == "0.50 USD")
    #expect(MoneyText.format(Money(micros: -1, currency: "EUR")) == "-0.000001 EUR")
    #expect(MoneyText.format(nil) == "-")
  }

  @Test(
    "sizes",
    arguments: [
      (0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (1536, "1.5 KiB"), (10_239, "9.9 KiB"),
      (12 * 1024 * 1024, "12 MiB"), (.max, "15 EiB"),
    ] as [(UInt64, String)])
  func size(_ bytes: UInt64, _ text: String) { #expect(SizeText.format(bytes) == text) }

  @Test(
    "states by any of their names",
    arguments: ["pending-approval", "PENDING_APPROVAL", "Pending_Approval", "MISSION_STATE_PENDING_APPROVAL"])
  func state(_ text: String) { #expect(MissionState(text: text) == .pendingApproval) }

  @Test("names that are no state", arguments: ["", "unspecified", "done", "MISSION_STATE_"])
  func noState(_ text: String) { #expect(MissionState(text: text) == nil) }

  @Test("media types by the end of a name")
  func mediaType() {
    #expect(MediaType.forFile(named: "Sales.CSV") == "text/csv")
    #expect(MediaType.forFile(named: "archive.tar.gz") == "application/gzip")
    #expect(MediaType.forFile(named: "README") == "application/octet-stream")
    #expect(MediaType.forFile(named: "a.") == "application/octet-stream")
  }
}

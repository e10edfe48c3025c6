import Testing

@testable import BuddyCLI

@Suite("What reaches the terminal")
struct TerminalTests {
  @Test("escape sequences become visible instead of taking effect")
  func escapes() {
    #expect(TerminalText.line("a\u{1B}[2Jb") == #"a\x1b[2Jb"#)
    #expect(TerminalText.line("\u{1B}]0;title\u{07}") == #"\x1b]0;title\x07"#)
    #expect(TerminalText.line("\u{9B}31m\u{7F}") == #"\x9b31m\x7f"#)
    #expect(TerminalText.block("x\u{08}y") == #"x\x08y"#)
  }

  @Test("nothing turns the reading direction around or hides")
  func direction() {
    #expect(TerminalText.line("a\u{202E}cod.exe") == #"a\u{202e}cod.exe"#)
    #expect(TerminalText.line("pay\u{200B}pal\u{2066}") == #"pay\u{200b}pal\u{2066}"#)
  }

  @Test("no control character survives, whichever it is")
  func everyControl() {
    for value in (0..<0x20 as Range<UInt32>).map({ $0 }) + (0x7F..<0xA0).map({ $0 }) {
      let text = String(Unicode.Scalar(value)!)
      #expect(!TerminalText.line(text).unicodeScalars.contains { $0.value < 0x20 || (0x7F..<0xA0).contains($0.value) })
      let kept = TerminalText.block(text).unicodeScalars.filter { $0.value < 0x20 || (0x7F..<0xA0).contains($0.value) }
      #expect(kept.allSatisfy { $0 == "\n" || $0 == "\t" })
    }
  }

  @Test("line breaks stay in a block and go from a line")
  func breaks() {
    #expect(TerminalText.line("a\r\nb\tc\nd") == "a b c d" || TerminalText.line("a\r\nb\tc\nd") == "a  b c d")
    #expect(TerminalText.block("a\r\nb\tc\nd") == "a\nb\tc\nd")
    #expect(TerminalText.block("50 %\rdone") == #"50 %\x0ddone"#)
  }

  @Test("widths count columns, not characters")
  func width() {
    #expect(TerminalText.width("abc") == 3)
    #expect(TerminalText.width("日本") == 4)
    #expect(TerminalText.width("e\u{301}") == 1)
    #expect(TerminalText.width("🎉") == 2)
  }

  @Test("cutting leaves room for the ellipsis and never splits a wide character")
  func truncation() {
    #expect(TerminalText.truncated("abcdef", to: 6) == "abcdef")
    #expect(TerminalText.truncated("abcdefg", to: 6) == "abcde…")
    #expect(TerminalText.truncated("日本語", to: 4) == "日…")
    #expect(TerminalText.truncated("abc", to: 0) == "")
    #expect(TerminalText.truncated("abcdef", to: 2, ellipsis: "...") == "")
  }

  @Test("tables align, cut the last column and let nothing through")
  func table() {
    var table = Table(("NAME", .left), ("SIZE", .right), ("NOTE", .left))
    table.add("a", "1 B", "short")
    table.add("sales.csv", "12 KiB", "a long note with \u{1B}[31m colour")
    #expect(
      table.lines(columns: 40) == [
        "NAME         SIZE  NOTE",
        "a             1 B  short",
        #"sales.csv  12 KiB  a long note with \x1…"#,
      ])
    #expect(table.lines(columns: nil)[2] == #"sales.csv  12 KiB  a long note with \x1b[31m colour"#)
  }

  @Test("the locale decides about Unicode, the most specific variable first")
  func locale() {
    #expect(Console.isUTF8(["LANG": "C.UTF-8"]))
    #expect(Console.isUTF8(["LANG": "de_DE.utf8"]))
    #expect(!Console.isUTF8(["LC_ALL": "C", "LANG": "C.UTF-8"]))
    #expect(Console.isUTF8(["LC_ALL": "", "LC_CTYPE": "en_US.UTF-8"]))
    #expect(!Console.isUTF8([:]))
  }
}

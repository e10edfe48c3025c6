import ArgumentParser
import Foundation
import Messages
import ServiceKit

/// `buddy audit …`.
struct AuditCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "audit", abstract: "Shows, exports and checks the record of who did what to which mission.",
    discussion: """
      Every event of every mission is an entry, and each entry is bound to the one before by its hash. Keep an export, \
      or the head that `verify` prints, elsewhere: who can write the database could compute a new chain too.
      """,
    subcommands: [List.self, Export.self, Verify.self])

  struct List: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists entries, the oldest first.")

    @Option(help: ArgumentHelp("Only what was done to this mission.", valueName: "mission"))
    var mission: String?

    @Option(help: ArgumentHelp("Only what this person did; \"buddy\" for what nobody did.", valueName: "name"))
    var actor: String?

    @Option(parsing: .unconditional,
      help: ArgumentHelp("How many at the most, 1 to 10000.", valueName: "number"))
    var limit = 100

    @OptionGroup var gateway: GatewayOptions

    func validate() throws {
      try Limit.check(limit)
      try Filter.check(("--mission", mission), ("--actor", actor))
    }

    func run() async throws {
      let console = Console.system()
      let answer = try await gateway.withGateway {
        try await $0.audit(mission: mission ?? "", actor: actor ?? "", limit: limit)
      }
      if gateway.json {
        try console.print(WireJSON.encode(answer))
      } else if answer.entries.isEmpty {
        console.note("no entries")
      } else {
        let columns = console.isOutputTerminal ? console.columns() : nil
        try console.print(Self.table(answer.entries).lines(columns: columns).joined(separator: "\n"))
        if !answer.nextPageToken.isEmpty { console.note("there are more; see them with a higher --limit") }
      }
    }

    static func table(_ entries: [AuditEntry]) -> Table {
      var table = Table(
        ("NUMBER", .right), ("TIME", .left), ("MISSION", .left), ("BY", .left), ("ACTION", .left), ("DETAIL", .left))
      for entry in entries {
        table.add(
          String(entry.number), entry.time?.date.formatted(.iso8601) ?? "-", entry.missionId, entry.actor,
          entry.action, entry.detail)
      }
      return table
    }
  }

  struct Export: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Writes the whole record, an entry a line in JSON, and checks its chain.",
      discussion: """
        With --out a file that is there is checked and gone on with: what it has already is not fetched again, and \
        what comes must follow from it. So the same command, run now and then, keeps a copy that nobody can rewrite \
        unseen.
        """)

    @Option(name: .shortAndLong, help: ArgumentHelp("Where to (default: standard output).", valueName: "file"))
    var out: String?

    @OptionGroup var gateway: GatewayOptions

    func validate() throws { if out?.isEmpty == true { throw ValidationError("--out is empty") } }

    func run() async throws {
      let console = Console.system()
      try await gateway.withGateway { client in
        guard let out else {
          do {
            _ = try await AuditExport(gateway: client).run(after: AuditChain()) { try console.write(.output, $0) }
          } catch is Console.ReaderGone {
            // `| head` has seen enough.
          }
          return
        }
        let chain = try await Self.export(to: out, client)
        console.note("\(TerminalText.line(out)): \(chain.added) new; \(chain.whole.summary)")
        if gateway.json { try console.print(WireJSON.encode(chain.whole.answer)) }
      }
    }

    static func export(to path: String, _ client: GatewayClient) async throws -> (whole: AuditChain, added: UInt64) {
      let file = try await AuditFile.open(path)
      let whole = try await AuditExport(gateway: client).run(after: file.chain) { try await file.append($0) }
      try await file.sync()
      return (whole, whole.last - file.chain.last)
    }
  }

  struct Verify: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Computes the chain of hashes anew; exits with 65 where it is broken.",
      discussion: "Without a file the service does it with what it keeps; an exported file is computed here.")

    @Argument(help: ArgumentHelp("What `buddy audit export` wrote.", valueName: "file"))
    var file: String?

    @OptionGroup var gateway: GatewayOptions

    func run() async throws {
      let console = Console.system()
      let answer: VerifyAuditResponse
      if let file {
        let chain = try await AuditFile.verify(file)
        if !gateway.json { try console.print("\(TerminalText.line(file)): \(chain.summary)") }
        answer = chain.answer
      } else {
        answer = try await gateway.withGateway(limits: .patient) { try await $0.verifyAudit() }
        if !gateway.json { try console.print(Self.summary(answer)) }
      }
      if gateway.json { try console.print(WireJSON.encode(answer)) }
      if answer.brokenAt > 0 { throw SilentExit(reason: .damagedData) }
    }

    static func summary(_ answer: VerifyAuditResponse) -> String {
      if answer.brokenAt > 0 { return "broken at entry \(answer.brokenAt): \(TerminalText.line(answer.problem))" }
      let amount = answer.entries == 1 ? "1 entry" : "\(answer.entries) entries"
      return "\(amount), head \(answer.head.hexadecimal)"
    }
  }
}

extension AuditChain {
  var answer: VerifyAuditResponse { VerifyAuditResponse(entries: count, head: head) }
}

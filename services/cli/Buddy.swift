import ArgumentParser
import Foundation

@main
struct Buddy: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "buddy",
    abstract: "Runs missions: say what you want, watch it happen, get the result.",
    discussion: """
      Start everything on this machine with `buddy up`, then for example:

        buddy run "Chart the average price by region" --input sales.csv

      Commands talk to the gateway at http://127.0.0.1:8420, at the address in BUDDY_ADDRESS, or at --address.

      \(ExitReason.table)
      """,
    version: version,
    subcommands: [
      UpCommand.self, RunCommand.self, MissionCommand.self, ArtifactCommand.self, FeedbackCommand.self,
      ToolCommand.self, BudgetCommand.self, AuditCommand.self, DeliveryCommand.self, HealthCommand.self,
      BackupCommand.self, RestoreCommand.self, CertsCommand.self,
    ])

  static let version = "0.1.0"

  /// Replaces the parser's own `main` so that every error is one line that starts with `buddy:` and has its own status.
  static func main() async {
    Console.holdClosedStreams()
    do {
      var command = try parseAsRoot()
      if var asynchronous = command as? any AsyncParsableCommand {
        try await asynchronous.run()
      } else {
        try command.run()
      }
      leave(.success)
    } catch let error as SilentExit {
      leave(error.reason)
    } catch let error as CommandError {
      Console.system().note("buddy: \(error)")
      leave(error.exit)
    } catch {
      help(error)
    }
  }

  /// Ends with what the parser has to say: a usage error, or the help or the version that was asked for. The last two
  /// are results, whose loss counts like that of any other.
  private static func help(_ error: any Error) -> Never {
    guard exitCode(for: error) == .success else { exit(withError: error) }
    do {
      try Console.system().print(fullMessage(for: error))
      leave(.success)
    } catch {
      Console.system().note("buddy: \(error)")
      leave(.cannotWrite)
    }
  }

  private static func leave(_ reason: ExitReason) -> Never { Foundation.exit(reason.rawValue) }
}

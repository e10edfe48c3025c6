import RPC
import Testing

@testable import ServiceKit

@Suite(.timeLimit(.minutes(2))) struct ServiceTLSTests {
  private func problem(_ name: ServiceName, _ arguments: String...) -> String? {
    do {
      let settings = try Settings(CommonSettings.all(name), arguments: arguments, environment: [:])
      try LoopbackGuard.check(settings, name)
      return nil
    } catch {
      return "\(error)"
    }
  }

  @Test func aSecuredPortMayBeReachedFromOtherMachines() {
    let secured = ["--tls-folder", "/certs", "--host", "0.0.0.0"]
    #expect(problem(.progress, secured[0], secured[1], secured[2], secured[3], "--admin-host", "127.0.0.1") == nil)
    // TLS is for gRPC alone.
    let admin = problem(.progress, secured[0], secured[1], secured[2], secured[3])
    #expect(admin?.contains("--admin-host 127.0.0.1") == true)
    let wide = problem(.progress, secured[0], secured[1], secured[2], secured[3], "--admin-host", "0.0.0.0")
    #expect(wide?.contains("--admin-host 0.0.0.0 can be reached") == true)
    let gateway = problem(.gateway, secured[0], secured[1], secured[2], secured[3], "--admin-host", "127.0.0.1")
    #expect(gateway?.contains("--host 0.0.0.0 can be reached") == true)
    #expect(problem(.progress, "--host", "0.0.0.0")?.contains("--tls-folder") == true)
  }

  @Test func unusableSettingsEndTheStart() async throws {
    let missing = try Run()
    #expect(await missing.code(["--tls-folder", "/nowhere"]) == .usage)
    #expect(missing.lines.text.contains("--tls-folder: cannot read /nowhere/learning.crt: no such file or directory"))
    #expect(missing.lines.text.contains("buddy certs init"))
    let alone = try Run()
    #expect(await alone.code(["--access-list", "/nowhere"]) == .usage)
    #expect(alone.lines.text.contains("--access-list needs --tls-folder"))
  }

  @Test(arguments: [
    ("gateway", "/buddy.mission.v1.Missions/Submit", true), ("gateway", "/buddy.admin.v1.Admin/ListRefused", true),
    ("gateway", "/buddy.progress.v1.Progress/WatchAll", true), ("gateway", "/buddy.audit.v1.Audit/Export", true),
    ("gateway", "/buddy.investment.v1.Investment/SetBudget", true),
    ("gateway", "/buddy.investment.v1.Investment/Settle", false),
    ("gateway", "/buddy.learning.v1.Learning/GiveFeedback", true),
    ("gateway", "/buddy.learning.v1.Learning/RecordOutcome", false),
    ("gateway", "/buddy.progress.v1.Progress/Record", false), ("gateway", "/buddy.admin.v1.Admin/Backup", false),
    ("gateway", "/buddy.delivery.v1.Inbox/Deliver", false), ("gateway", "/grpc.health.v1.Health/Check", true),
    ("gateway", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", false),
    ("cli", "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", true),
    ("execution", "/buddy.delivery.v1.Inbox/Deliver", true), ("execution", "/buddy.artifact.v1.Artifacts/Put", true),
    ("execution", "/buddy.investment.v1.Investment/Reserve", true),
    ("execution", "/buddy.investment.v1.Investment/SetBudget", false),
    ("execution", "/buddy.learning.v1.Learning/GetMultipliers", true),
    ("execution", "/buddy.learning.v1.Learning/GiveFeedback", false),
    ("execution", "/buddy.progress.v1.Progress/Watch", false), ("execution", "/buddy.admin.v1.Admin/Backup", false),
    ("cli", "/buddy.admin.v1.Admin/Backup", true), ("cli", "/buddy.mission.v1.Missions/Submit", false),
    ("scheduler", "/buddy.mission.v1.Missions/Submit", true),
    ("scheduler", "/buddy.artifact.v1.Artifacts/Get", false),
    ("learning", "/buddy.mission.v1.Missions/List", false), ("learning", "/grpc.health.v1.Health/Check", true),
  ])
  func whoCallsWhom(_ caller: String, _ path: String, _ isAllowed: Bool) {
    #expect(ServiceTLS.standardAccess.allows(TLSFolder.id(caller), path: path) == isAllowed)
  }
}

import Foundation
import Messages
import RPC
import ServiceKit
import Testing

@testable import ExecutionService

@Suite struct ApprovalPolicyTests {
  private static func tool(_ name: String, _ intent: String, _ risk: ToolDeclaration.Risk) -> ToolDeclaration {
    ToolDeclaration(
      name: name, description: "", inputSchema: "{}", intents: [intent: 0.9], hasSideEffects: false, isIdempotent: true,
      risk: risk, timeLimit: .seconds(1), maximumInputBytes: 1, maximumOutputBytes: 1)
  }

  private let policy = ApprovalPolicy(
    maximumBudget: 1_000, roles: ["guest": .viewer, "boss": .admin],
    tools: [
      tool("calculate", "calculation", .low), tool("danger", "web_extraction", .high), tool("own", "own", .high),
    ], classifier: IntentClassifier())

  private func approves(
    _ objective: String = "What is 17.5% of 2,340?", owner: String = "eva", budget: Int64 = 1_000, tool: String = "",
    inputs: [MissionInput] = [], _ policy: ApprovalPolicy? = nil
  ) -> Bool {
    let mission = Mission(
      objective: objective, owner: owner, inputs: inputs, budget: Money(micros: budget, currency: "USD"),
      requestedTool: tool)
    return (policy ?? self.policy).approval(of: mission) != nil
  }

  @Test func costDecides() {
    #expect(approves(budget: 1_000) && !approves(budget: 1_001) && approves(budget: 0))
    var none = policy
    none.maximumBudget = 0
    #expect(!approves(budget: 0, none), "0: every mission needs a person")
  }

  @Test func theOwnersRoleDecides() {
    #expect(approves(owner: "boss") && !approves(owner: "guest"))
    var strict = policy
    strict.approvedRoles = [.admin]
    #expect(!approves(owner: "eva", strict) && approves(owner: "boss", strict))
    strict.defaultRole = .admin
    #expect(approves(owner: "eva", strict))
  }

  @Test func theRiskOfTheToolThatIsAskedForDecides() {
    #expect(approves(tool: "calculate") && !approves(tool: "danger") && !approves(tool: "own"))
    var bold = policy
    bold.maximumRisk = .high
    #expect(approves(tool: "danger", bold))
  }

  @Test func theRiskOfEveryToolThatTheObjectiveMayLeadToDecides() {
    #expect(approves("What is 17.5% of 2,340?"))
    #expect(!approves("Get the title of https://example.com/"))
    #expect(!approves("show me this", inputs: [MissionInput(name: "page", artifactId: "a")]), "it may be a web page")
    #expect(approves("Write me a poem about the sea"), "no tool is for it")
  }

  @Test func theToolsOfTodayNeedNobody() throws {
    let toolbox = Toolbox.builtIn()
    let rules = SubmissionRules(
      toolNames: toolbox.declarations.map(\.name), currency: "USD", defaultBudget: 1_000,
      approval: ApprovalPolicy(
        maximumBudget: 1_000, maximumRisk: ExecutionSettings.autoApproveRisk.defaultValue,
        approvedRoles: ExecutionSettings.autoApproveRole.defaultValue.roles,
        defaultRole: ExecutionSettings.defaultRole.defaultValue, tools: toolbox.declarations,
        classifier: IntentClassifier()))
    for tool in toolbox.declarations.map(\.name) + [""] {
      let request = SubmitMissionRequest(objective: "https://example.com/", requestedTool: tool)
      let mission = try rules.mission(from: request, now: Date()).mission
      #expect(mission.state == .approved && !mission.isApprovedByPerson)
      #expect(mission.changes.map(\.actor) == ["policy"] && mission.changes[0].reason.contains("role operator"))
    }
  }

  @Test func settingsAreReadAndWrittenAlike() {
    #expect(RoleList(settingText: "admin, operator")?.settingText == "operator,admin")
    #expect(RoleList(settingText: "admin,king") == nil)
    #expect(OwnerRoles(settingText: "bob=viewer,a=b=admin")?.roles == ["bob": .viewer, "a=b": .admin])
    #expect(OwnerRoles(settingText: "bob=viewer,eva=admin")?.settingText == "bob=viewer,eva=admin")
    for bad in ["bob", "=admin", "bob=king", "bob=admin,bob=viewer"] { #expect(OwnerRoles(settingText: bad) == nil) }
    #expect(Role(settingText: "operator") == .operator && ToolDeclaration.Risk(settingText: "high") == .high)
  }

  // MARK: - Modifications

  private let rules = SubmissionRules(
    toolNames: ["calculate"], currency: "USD", defaultBudget: 1_000, autoApproveLimit: 1_000)

  private func modification(_ request: ModifyMissionRequest, of mission: Mission = .init()) throws -> Modification {
    try rules.modification(from: request, of: mission, mayRunToolAgain: true, now: Date())
  }

  private func refusal(_ request: ModifyMissionRequest, of mission: Mission = .init()) -> String? {
    do {
      _ = try modification(request, of: mission)
      return nil
    } catch {
      return (error as? Status).flatMap { $0.code == .invalidArgument ? $0.message : nil }
    }
  }

  @Test func aModificationIsCheckedLikeASubmission() {
    #expect(refusal(ModifyMissionRequest())?.contains("nothing to change") == true)
    #expect(refusal(ModifyMissionRequest(objective: .init(value: " "))) == "the objective is empty")
    #expect(refusal(ModifyMissionRequest(budget: Money(micros: 1, currency: "EUR"))) != nil)
    #expect(refusal(ModifyMissionRequest(priority: .init(value: -101))) != nil)
    #expect(refusal(ModifyMissionRequest(requestedTool: .init(value: "nope")))?.contains("calculate") == true)
    #expect(refusal(ModifyMissionRequest(setParameters: ["": "x"])) != nil)
    let past = GoogleProtobufTimestamp(Date(timeIntervalSinceNow: -1))
    #expect(refusal(ModifyMissionRequest(deadline: past))?.contains("has passed") == true)
    let future = GoogleProtobufTimestamp(Date(timeIntervalSinceNow: 60))
    #expect(refusal(ModifyMissionRequest(deadline: future)) == nil)
    #expect(refusal(ModifyMissionRequest(deadline: future, removeDeadline: true)) != nil)
    #expect(refusal(ModifyMissionRequest(setParameters: ["a": "1"], removeParameters: ["a"])) != nil)
    #expect(refusal(ModifyMissionRequest(removeParameters: (0...64).map { "p\($0)" })) != nil)
    let full = Mission(parameters: Dictionary(uniqueKeysWithValues: (0..<64).map { ("p\($0)", "") }))
    #expect(refusal(ModifyMissionRequest(setParameters: ["one": "more"]), of: full) != nil, "with those it has")
    #expect(refusal(ModifyMissionRequest(setParameters: ["one": "more"], removeParameters: ["p1"]), of: full) == nil)
  }

  @Test func aModificationKnowsWhetherPolicyWouldApproveIt() throws {
    let mission = Mission(objective: "1 + 1", budget: Money(micros: 1_000, currency: "USD"))
    #expect(try !modification(ModifyMissionRequest(priority: .init(value: 1)), of: mission).isBeyondPolicy)
    let dear = ModifyMissionRequest(budget: Money(micros: 1_001, currency: "USD"))
    #expect(try modification(dear, of: mission).isBeyondPolicy)
  }
}

import Messages
import ServiceKit

/// What a person may do.
enum Role: String, CaseIterable, Sendable, SettingValue {
  case viewer, `operator`, approver, admin
}

/// Which missions run without a person's approval: those of trusted owners that cost little and whose tools can do
/// little harm.
struct ApprovalPolicy: Sendable {
  /// The largest budget, in micro-units; 0: every mission needs a person.
  var maximumBudget: Int64
  var maximumRisk = ToolDeclaration.Risk.medium
  /// Whose missions need nobody.
  var approvedRoles = RoleList.trusted.roles
  /// The roles of owners; the others have `defaultRole`.
  var roles: [String: Role] = [:]
  var defaultRole = Role.operator
  var tools: [ToolDeclaration] = []
  var classifier: IntentClassifier?

  /// Why policy approves a mission; nil where it does not.
  func approval(of mission: Mission) -> String? {
    let role = roles[mission.owner] ?? defaultRole
    guard maximumBudget > 0, let budget = mission.budget, budget.micros <= maximumBudget, approvedRoles.contains(role),
      risk(of: mission) <= maximumRisk
    else { return nil }
    return "budget \(budget.display), role \(role.rawValue)"
  }

  /// The highest risk among the tools that the mission may come to use.
  ///
  /// What an input is shows only when the mission runs, so every kind that has a say in the intent counts.
  private func risk(of mission: Mission) -> ToolDeclaration.Risk {
    let highest = tools.map(\.risk).max() ?? .low
    // Classifying costs more than all the rest; nothing hangs on it where even the worst tool is allowed.
    guard highest > maximumRisk else { return highest }
    if let asked = tools.first(where: { $0.name == mission.requestedTool }) { return asked.risk }
    guard let classifier else { return highest }
    let kinds: [String?] = mission.inputs.isEmpty ? [nil] : [nil, "text/csv", "text/html"]
    let intents = Set(
      kinds.map { kind in
        classifier.classify(
          objective: mission.objective, inputs: mission.inputs.map { (name: $0.name, mediaType: kind ?? $0.mediaType) }
        ).name
      })
    return tools.filter { !intents.isDisjoint(with: $0.intents.keys) }.map(\.risk).max() ?? .low
  }
}

extension ToolDeclaration.Risk: CaseIterable, Comparable, SettingValue {
  static let allCases: [Self] = [.low, .medium, .high]

  private var rank: Int {
    switch self {
    case .low: 0
    case .medium: 1
    case .high: 2
    }
  }

  static func < (left: Self, right: Self) -> Bool { left.rank < right.rank }
}

/// A setting that lists roles: "operator,admin".
struct RoleList: SettingValue, Hashable {
  static let trusted = RoleList(roles: [.operator, .approver, .admin])
  static var expected: String { "a list of \(Role.allCases.map(\.rawValue).joined(separator: ", ")), with commas" }
  static var kind: SettingKind { .list }
  static var placeholder: String { "ROLE,ROLE…" }

  let roles: Set<Role>

  init(roles: Set<Role>) { self.roles = roles }

  init?(settingText text: String) {
    guard let names = [String](settingText: text) else { return nil }
    let roles = names.map(Role.init(rawValue:))
    guard !roles.contains(nil) else { return nil }
    self.roles = Set(roles.compactMap(\.self))
  }

  var settingText: String { Role.allCases.filter(roles.contains).map(\.rawValue).joined(separator: ",") }
}

/// A setting that gives owners roles: "eva=admin,bot=viewer".
struct OwnerRoles: SettingValue, Hashable {
  static var expected: String { "a list like eva=admin,bot=viewer, with the roles \(Role.placeholder)" }
  static var kind: SettingKind { .list }
  static var placeholder: String { "OWNER=ROLE…" }

  let roles: [String: Role]

  init(roles: [String: Role]) { self.roles = roles }

  init?(settingText text: String) {
    guard let entries = [String](settingText: text) else { return nil }
    var roles: [String: Role] = [:]
    for entry in entries {
      guard let sign = entry.lastIndex(of: "="), sign != entry.startIndex,
        let role = Role(rawValue: String(entry[entry.index(after: sign)...])),
        roles.updateValue(role, forKey: String(entry[..<sign])) == nil
      else { return nil }
    }
    self.roles = roles
  }

  var settingText: String {
    roles.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value.rawValue)" }.joined(separator: ",")
  }
}

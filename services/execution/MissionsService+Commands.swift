import Messages
import RPC
import Stubs

extension MissionsService {
  func pause(_ request: PauseMissionRequest, _ context: ServerContext) async throws -> Mission {
    throw Status(.unimplemented, "Pause")
  }
  func resume(_ request: ResumeMissionRequest, _ context: ServerContext) async throws -> Mission {
    throw Status(.unimplemented, "Resume")
  }
  func modify(_ request: ModifyMissionRequest, _ context: ServerContext) async throws -> Mission {
    throw Status(.unimplemented, "Modify")
  }
  func answer(_ request: AnswerMissionRequest, _ context: ServerContext) async throws -> Mission {
    throw Status(.unimplemented, "Answer")
  }
}

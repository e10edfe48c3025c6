import CFaults
import Dispatch
import Foundation
import Synchronization
import Testing

/// Runs tasks on one thread without root's right to pass over files' permissions; threads started there have it neither.
final class UnprivilegedThread: TaskExecutor, Sendable {
  private let jobs = Mutex<[UnownedJob?]>([])
  private let available = DispatchSemaphore(value: 0)

  init() {
    let thread = Thread { [weak self] in
      precondition(faults_give_up_privileges() == 0)
      // Only the semaphore's owner ends the loop, by nil.
      while let self, self.runNext() {}
    }
    thread.start()
  }

  func enqueue(_ job: consuming ExecutorJob) { put(UnownedJob(job)) }

  func stop() { put(nil) }

  private func put(_ job: UnownedJob?) {
    jobs.withLock { $0.append(job) }
    available.signal()
  }

  private func runNext() -> Bool {
    available.wait()
    guard let job = jobs.withLock({ $0.removeFirst() }) else { return false }
    job.runSynchronously(on: asUnownedTaskExecutor())
    return true
  }
}

/// Runs a body as a service's user would, whoever runs the tests.
func withoutPrivileges<T: Sendable>(_ body: @escaping @Sendable () async throws -> T) async throws -> T {
  let thread = UnprivilegedThread()
  defer { thread.stop() }
  return try await Task(executorPreference: thread) { try await body() }.value
}

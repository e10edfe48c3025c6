import Foundation

/// What Prometheus' clients tell about every process, under the names they all use, from `/proc` (proc(5)).
enum ProcessMetrics {
  static func collect(into metrics: MetricsRegistry) {
    metrics.collect("process") { try samples() }
  }

  static func samples() throws -> [MetricSample] {
    let status = try statistics(of: "self")
    let ticks = Double(sysconf(Int32(_SC_CLK_TCK)))
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    var limit = rlimit()
    getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
    return [
      MetricSample(BuddySeries.processStart, try bootTime() + status.startTicks / ticks),
      MetricSample(BuddySeries.processCPU, seconds(usage.ru_utime) + seconds(usage.ru_stime)),
      MetricSample(BuddySeries.processResident, status.residentPages * Double(sysconf(Int32(_SC_PAGESIZE)))),
      MetricSample(BuddySeries.processVirtual, status.virtualBytes),
      MetricSample(BuddySeries.processOpenFiles, Double(try openFiles())),
      MetricSample(BuddySeries.processMaximumFiles, Double(limit.rlim_cur)),
    ]
  }

  private struct Statistics {
    var startTicks: Double
    var virtualBytes: Double
    var residentPages: Double
  }

  /// Fields 22 to 24 of `/proc/…/stat`. The second one, the name, is in brackets and may hold anything.
  private static func statistics(of process: String) throws -> Statistics {
    let text = try String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)
    let fields = text[(text.lastIndex(of: ")") ?? text.startIndex)...].split(separator: " ").dropFirst()
      .map { Double($0) ?? 0 }
    guard fields.count > 21 else { throw CocoaError(.fileReadCorruptFile) }
    return Statistics(startTicks: fields[19], virtualBytes: fields[20], residentPages: fields[21])
  }

  private static func bootTime() throws -> Double {
    let lines = try String(contentsOfFile: "/proc/stat", encoding: .utf8).split(separator: "\n")
    guard let line = lines.first(where: { $0.hasPrefix("btime ") }), let time = Double(line.dropFirst(6)) else {
      throw CocoaError(.fileReadCorruptFile)
    }
    return time
  }

  /// Without the one that the looking itself opens.
  private static func openFiles() throws -> Int {
    try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count - 1
  }

  private static func seconds(_ time: timeval) -> Double { Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
}

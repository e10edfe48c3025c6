import Foundation
import Metrics
import NIOCore
import RPC
import RPCTelemetry
import Synchronization
import TestSupport
import Testing

@testable import ServiceKit

/// The lines of an exposition that belong to one name and are no comments.
private func lines(_ text: String, _ name: String) -> [String] {
  text.split(separator: "\n").map(String.init).filter { line in
    line.hasPrefix(name) && [" ", "{", "_"].contains(line.dropFirst(name.count).first)
  }
}

@Suite(.timeLimit(.minutes(2))) struct MetricsTests {
  @Test func theTextIsPrometheusFormat() async {
    let metrics = MetricsRegistry()
    metrics.counter(MetricSeries("b_total", .counter, "Things\nwith \\ in them.")).increment(by: 3)
    metrics.meter(MetricSeries("a", .gauge, "A gauge."), labels: [("z", "1"), ("b", "q\"\\\n")]).set(-0.5)
    let histogram = MetricSeries("c_seconds", .histogram(bounds: [0.1, 1]), "Times.")
    let timer = metrics.timer(histogram, labels: [("code", "OK")])
    timer.recordMilliseconds(100)
    timer.recordMilliseconds(101)
    timer.recordSeconds(5)
    metrics.declare(MetricSeries("d", .gauge, "Nothing yet."))
    let text = await metrics.exposition()
    let own = text.split(separator: "\n", omittingEmptySubsequences: false).filter { !$0.contains("buddy_metrics") }
    #expect(
      own.joined(separator: "\n") == #"""
        # HELP a A gauge.
        # TYPE a gauge
        a{b="q\"\\\n",z="1"} -0.5
        # HELP b_total Things\nwith \\ in them.
        # TYPE b_total counter
        b_total 3
        # HELP c_seconds Times.
        # TYPE c_seconds histogram
        c_seconds_bucket{code="OK",le="0.1"} 1
        c_seconds_bucket{code="OK",le="1"} 2
        c_seconds_bucket{code="OK",le="+Inf"} 3
        c_seconds_sum{code="OK"} 5.201
        c_seconds_count{code="OK"} 3
        # HELP d Nothing yet.
        # TYPE d gauge

        """#)
  }

  @Test func everyKindOfSwiftMetricsHasAPlace() async {
    let metrics = MetricsRegistry()
    let labels = [("kind", "x")]
    let counter = Counter(label: "library.requests", dimensions: labels, factory: metrics)
    counter.increment(by: 2)
    counter.increment(by: -5)
    let fraction = FloatingPointCounter(label: "fraction", factory: metrics)
    fraction.increment(by: 0.25)
    fraction.increment(by: Double.nan)
    let meter = Meter(label: "meter", factory: metrics)
    meter.set(10)
    meter.decrement(by: 2.5)
    Gauge(label: "gauge", factory: metrics).record(7)
    Recorder(label: "sizes", factory: metrics).record(3)
    Metrics.Timer(label: "2 times", factory: metrics).recordMilliseconds(2)
    let text = await metrics.exposition()
    #expect(lines(text, "library_requests") == [#"library_requests{kind="x"} 2"#])
    #expect(lines(text, "fraction") == ["fraction 0.25"])
    #expect(lines(text, "meter") == ["meter 7.5"])
    #expect(lines(text, "gauge") == ["gauge 7"])
    #expect(lines(text, "sizes").contains(#"sizes_bucket{le="4"} 1"#))
    #expect(lines(text, "_2_times").last == "_2_times_count 1")
    counter.destroy()
    #expect(await lines(metrics.exposition(), "library_requests").isEmpty)
  }

  @Test func handlesOfOneSeriesShareItsValue() async {
    let metrics = MetricsRegistry()
    for _ in 0..<2 {
      Counter(label: "c", dimensions: [("a", "1"), ("b", "2")], factory: metrics).increment()
      Counter(label: "c", dimensions: [("b", "2"), ("a", "1")], factory: metrics).increment()
    }
    #expect(await lines(metrics.exposition(), "c") == [#"c{a="1",b="2"} 4"#])
  }

  @Test func aNameBelongsToOneKind() async {
    let metrics = MetricsRegistry()
    Counter(label: "n", factory: metrics).increment(by: 4)
    Gauge(label: "n", factory: metrics).record(9)
    let text = await metrics.exposition()
    #expect(lines(text, "n") == ["n 4"])
    #expect(lines(text, "buddy_metrics_refused_total") == ["buddy_metrics_refused_total 1"])
  }

  @Test func seriesOverTheLimitShareOne() async {
    let metrics = MetricsRegistry(seriesLimit: 3)
    for number in 0..<10 { Counter(label: "c", dimensions: [("path", "/\(number)")], factory: metrics).increment() }
    metrics.collect("many") {
      (0..<10).map { MetricSample(MetricSeries("g", .gauge, ""), 1, ["n": "\($0)"]) }
    }
    let text = await metrics.exposition()
    #expect(
      lines(text, "c") == [#"c{path="/0"} 1"#, #"c{path="/1"} 1"#, #"c{path="/2"} 1"#, #"c{path="other"} 7"#])
    #expect(lines(text, "g").count == 3)
  }

  @Test func nothingIsLostBetweenThreads() async {
    let metrics = MetricsRegistry()
    await withTaskGroup(of: Void.self) { group in
      for _ in 0..<8 {
        group.addTask {
          let counter = Counter(label: "c", factory: metrics)
          let recorder = Recorder(label: "h", factory: metrics)
          for _ in 0..<10_000 {
            counter.increment()
            recorder.record(0.5)
          }
        }
      }
    }
    let text = await metrics.exposition()
    #expect(lines(text, "c") == ["c 80000"])
    #expect(lines(text, "h").suffix(2) == ["h_sum 40000", "h_count 80000"])
  }

  @Test func numbersKeepTheirValue() {
    let cases: [(Double, String)] = [
      (0, "0"), (-0.0, "0"), (1, "1"), (0.1, "0.1"), (1e300, "1e+300"), (.infinity, "+Inf"), (-.infinity, "-Inf"),
      (.nan, "NaN"), (9_007_199_254_740_991, "9007199254740991"), (1.7e9, "1700000000"), (5e-7, "5e-07"),
    ]
    for (value, text) in cases { #expect(MetricText.number(value) == text) }
  }

  // MARK: - Collectors

  @Test func aCollectorThatFailsCostsOnlyItself() async {
    struct Broken: Error {}
    let metrics = MetricsRegistry(collectorLimit: .milliseconds(50))
    let runs = Mutex(0)
    let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
    metrics.collect("broken") { throw Broken() }
    metrics.collect("hanging") {
      runs.withLock { $0 += 1 }
      for await _ in stream { break }
      return []
    }
    metrics.collect("fine") { [MetricSample(MetricSeries("fine", .gauge, ""), 1)] }
    for _ in 0..<3 { #expect(await lines(metrics.exposition(), "fine") == ["fine 1"]) }
    let failures = await lines(metrics.exposition(), "buddy_metrics_collector_failures_total")
    #expect(
      failures == [
        #"buddy_metrics_collector_failures_total{collector="broken"} 4"#,
        #"buddy_metrics_collector_failures_total{collector="hanging"} 4"#,
      ])
    // What hangs is not started again beside itself.
    #expect(runs.withLock { $0 } == 1)
    continuation.finish()
  }

  @Test func aResultIsShownAgainForAsLongAsItMay() async {
    let metrics = MetricsRegistry()
    let runs = Mutex((rarely: 0, always: 0))
    metrics.collect("rarely", every: .seconds(3_600)) {
      runs.withLock { $0.rarely += 1 }
      return [MetricSample(MetricSeries("rare", .gauge, ""), 7)]
    }
    metrics.collect("always") {
      runs.withLock { $0.always += 1 }
      return []
    }
    for _ in 0..<3 { #expect(await lines(metrics.exposition(), "rare") == ["rare 7"]) }
    #expect(runs.withLock { $0 } == (1, 3))
  }

  @Test func whatIsRecordedAnywhereKeepsItsMeaning() async {
    let metrics = MetricsRegistry()
    Counter(label: BuddySeries.spansDropped.name, factory: metrics).increment(by: 2)
    let text = await metrics.exposition()
    #expect(text.contains("# HELP buddy_trace_dropped_total \(BuddySeries.spansDropped.help)\n"))
    #expect(lines(text, "buddy_trace_dropped_total") == ["buddy_trace_dropped_total 2"])
  }

  @Test func collectedAndRecordedValuesOfOneNameComeTogether() async {
    let metrics = MetricsRegistry()
    let series = MetricSeries("g", .gauge, "Both.")
    metrics.meter(series, labels: [("from", "meter")]).set(1)
    metrics.collect("twice") {
      [
        MetricSample(series, 2, ["from": "collector"]), MetricSample(series, 3, ["from": "collector"]),
        MetricSample(MetricSeries("g", .counter, ""), 9, ["from": "another kind"]),
      ]
    }
    #expect(await lines(metrics.exposition(), "g") == [#"g{from="collector"} 3"#, #"g{from="meter"} 1"#])
  }

  // MARK: - Calls

  @Test func methodsNobodyServesShareOneSeries() async throws {
    let metrics = MetricsRegistry()
    let known = Method("/a.B/C", request: Codec<ByteBuffer>.bytes, response: Codec<ByteBuffer>.bytes)
    let other = Method("/x.Y/Z", request: Codec<ByteBuffer>.bytes, response: Codec<ByteBuffer>.bytes)
    var router = Router()
    router.unary(known) { request, _ in
      if request.readableBytes == 0 { throw Status(.notFound) }
      return request
    }
    let server = Server(router: router, interceptors: [CallMetrics.server(metrics, methods: router.methods)])
    let address = try await server.start(host: "127.0.0.1", port: 0)
    let client = Client(
      host: address.host, port: address.port, interceptors: [ClientMetrics(metrics).interceptor(.learning)])
    _ = try await client.unary(known, ByteBuffer(string: "a"))
    for method in [known, other, other] { _ = try? await client.unary(method, ByteBuffer()) }
    await client.close()
    await server.shutdown()
    #expect(
      await lines(metrics.exposition(), "buddy_rpc_server_duration_seconds_count") == [
        #"buddy_rpc_server_duration_seconds_count{code="NOT_FOUND",method="C",service="a.B"} 1"#,
        #"buddy_rpc_server_duration_seconds_count{code="OK",method="C",service="a.B"} 1"#,
        #"buddy_rpc_server_duration_seconds_count{code="UNIMPLEMENTED",method="unknown",service="unknown"} 2"#,
      ])
    #expect(
      await lines(metrics.exposition(), "buddy_rpc_client_duration_seconds_count") == [
        #"buddy_rpc_client_duration_seconds_count{code="NOT_FOUND",method="C",peer="learning"} 1"#,
        #"buddy_rpc_client_duration_seconds_count{code="OK",method="C",peer="learning"} 1"#,
        #"buddy_rpc_client_duration_seconds_count{code="UNIMPLEMENTED",method="Z",peer="learning"} 2"#,
      ])
  }

  @Test func theProcessTellsOfItself() throws {
    let samples = Dictionary(uniqueKeysWithValues: try ProcessMetrics.samples().map { ($0.series.name, $0.value) })
    let start = try #require(samples["process_start_time_seconds"])
    #expect((0...86_400 * 30).contains(Date.now.timeIntervalSince1970 - start))
    let resident = try #require(samples["process_resident_memory_bytes"])
    #expect(resident > 1_000_000)
    #expect(try #require(samples["process_virtual_memory_bytes"]) >= resident)
    #expect(try #require(samples["process_cpu_seconds_total"]) > 0)
    #expect((3...100_000).contains(samples["process_open_fds"] ?? 0))
  }
}

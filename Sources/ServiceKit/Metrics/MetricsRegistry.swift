public import Metrics
import Synchronization

/// A process's metrics: what swift-metrics records into, and what a scrape reads as Prometheus' text.
///
/// The number of series of one name is bounded, whatever labels come: those over the limit share one whose label values
/// are all `other`.
public final class MetricsRegistry: Sendable {
  private struct Family {
    let series: MetricSeries
    var cells: [LabelSet: MetricCell] = [:]
  }

  private struct State {
    var families: [String: Family] = [:]
    var collectors: [Collector] = []
  }

  /// How many series one name may have.
  public static let seriesLimit = 1000
  /// How long one collector may take when it is scraped.
  public static let collectorLimit = Duration.seconds(2)

  /// How old the size of a table may be that is shown: counting takes longer the larger it is.
  public static let tableInterval = Duration.seconds(5)

  private let seriesLimit: Int
  private let collectorLimit: Duration
  private let state = Mutex(State())

  public init(seriesLimit: Int = seriesLimit, collectorLimit: Duration = collectorLimit) {
    self.seriesLimit = max(1, seriesLimit)
    self.collectorLimit = collectorLimit
    declare(BuddySeries.collectorFailures, BuddySeries.refusedMetrics)
    _ = cell(BuddySeries.refusedMetrics, .none)
  }

  /// Shows these series from now on, also while they have no value, and sets what they mean.
  public func declare(_ all: MetricSeries...) {
    state.withLock { state in
      for series in all where state.families[series.name] == nil { state.families[series.name] = Family(series: series) }
    }
  }

  /// Runs at each scrape, for what costs a query. One that throws or takes longer than the limit is left out and
  /// counted; everything else is shown all the same.
  ///
  /// - Parameters:
  ///   - name: For the count of failures.
  ///   - interval: How old a result may be that is shown again: for what costs more the more there is stored.
  public func collect(
    _ name: String, every interval: Duration = .zero, _ body: @escaping @Sendable () async throws -> [MetricSample]
  ) {
    state.withLock { $0.collectors.append(Collector(name: name, work: SharedWork(validity: interval, body))) }
  }

  /// All metrics as Prometheus' text exposition format 0.0.4, in the order of their names and labels.
  public func exposition() async -> String {
    let collected = await collect()
    var families = state.withLock { state in
      state.families.mapValues { family in
        Exposition.Family(series: family.series, values: family.cells.mapValues(Exposition.Value.init))
      }
    }
    for sample in collected {
      var family = families[sample.series.name] ?? Exposition.Family(series: sample.series)
      guard family.series.kind == sample.series.kind, family.values.count < seriesLimit else { continue }
      family.values[sample.labels] = .number(sample.value)
      families[sample.series.name] = family
    }
    return Exposition.text(families.values.sorted { $0.series.name < $1.series.name })
  }

  private func collect() async -> [MetricSample] {
    let limit = collectorLimit
    let collectors = state.withLock { $0.collectors }
    return await withTaskGroup(of: [MetricSample].self) { group in
      for collector in collectors {
        group.addTask { [self] in
          do {
            return try await collector.work.value(within: limit)
          } catch {
            counter(BuddySeries.collectorFailures, [("collector", collector.name)])?.increment(by: Int64(1))
            return []
          }
        }
      }
      return await group.reduce(into: []) { $0 += $1 }
    }
  }

  // MARK: - Cells

  private func counter(_ series: MetricSeries, _ labels: [(String, String)]) -> CounterCell? {
    guard case .counter(let cell) = cell(series, LabelSet(labels)) else { return nil }
    return cell
  }

  /// The cell of a series; nil where its name is taken by one of another kind.
  private func cell(_ series: MetricSeries, _ labels: LabelSet) -> MetricCell? {
    state.withLock { state in
      var family = state.families[series.name] ?? Family(series: series)
      guard Self.isSameKind(family.series.kind, series.kind) else { return nil }
      var labels = labels
      if family.cells[labels] == nil, family.cells.count >= seriesLimit { labels = labels.folded }
      if let cell = family.cells[labels] { return cell }
      let cell = MetricCell(family.series.kind)
      family.cells[labels] = cell
      state.families[series.name] = family
      return cell
    }
  }

  private static func isSameKind(_ left: MetricSeries.Kind, _ right: MetricSeries.Kind) -> Bool {
    switch (left, right) {
    case (.histogram, .histogram): true
    default: left == right
    }
  }

  private func remove(_ handler: AnyObject) {
    state.withLock { state in
      for (name, family) in state.families {
        for (labels, cell) in family.cells where cell.handler === handler {
          state.families[name]?.cells[labels] = nil
        }
      }
    }
  }

  private struct Collector: Sendable {
    let name: String
    let work: SharedWork<[MetricSample]>
  }
}

// MARK: - Handles, to be made once and kept

extension MetricsRegistry {
  public func counter(_ series: MetricSeries, labels: [(String, String)] = []) -> Counter {
    declare(series)
    return Counter(label: series.name, dimensions: labels, factory: self)
  }

  /// A gauge that can go up and down.
  public func meter(_ series: MetricSeries, labels: [(String, String)] = []) -> Meter {
    declare(series)
    return Meter(label: series.name, dimensions: labels, factory: self)
  }

  /// A histogram of amounts.
  public func recorder(_ series: MetricSeries, labels: [(String, String)] = []) -> Recorder {
    declare(series)
    return Recorder(label: series.name, dimensions: labels, aggregate: true, factory: self)
  }

  /// A histogram of seconds.
  public func timer(_ series: MetricSeries, labels: [(String, String)] = []) -> Timer {
    declare(series)
    return Timer(label: series.name, dimensions: labels, factory: self)
  }
}

// MARK: - swift-metrics

extension MetricsRegistry: MetricsFactory {
  public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
    attached(label, .counter, dimensions) { CounterCell() }
  }

  public func makeFloatingPointCounter(
    label: String, dimensions: [(String, String)]
  ) -> any FloatingPointCounterHandler {
    attached(label, .counter, dimensions) { CounterCell() }
  }

  public func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
    attached(label, .gauge, dimensions) { GaugeCell() }
  }

  public func makeRecorder(
    label: String, dimensions: [(String, String)], aggregate: Bool
  ) -> any RecorderHandler {
    aggregate
      ? attached(label, .histogram(bounds: BuddySeries.amounts), dimensions) { HistogramCell(bounds: []) }
      : attached(label, .gauge, dimensions) { GaugeCell() }
  }

  public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
    attached(label, .histogram(bounds: BuddySeries.seconds), dimensions) { HistogramCell(bounds: []) }
  }

  public func destroyCounter(_ handler: any CounterHandler) { remove(handler) }
  public func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) { remove(handler) }
  public func destroyMeter(_ handler: any MeterHandler) { remove(handler) }
  public func destroyRecorder(_ handler: any RecorderHandler) { remove(handler) }
  public func destroyTimer(_ handler: any TimerHandler) { remove(handler) }

  /// The cell of a label and its dimensions. Where the name is taken by a metric of another kind, one that nobody
  /// reads, and that is counted.
  private func attached<Cell: AnyObject>(
    _ label: String, _ kind: MetricSeries.Kind, _ dimensions: [(String, String)], otherwise: () -> Cell
  ) -> Cell {
    let name = MetricText.name(label)
    let known = BuddySeries.recordedAnywhere[name]
    let series = known.flatMap { $0.kind == kind ? $0 : nil } ?? MetricSeries(name, kind, "")
    if let cell = cell(series, LabelSet(dimensions))?.handler as? Cell { return cell }
    counter(BuddySeries.refusedMetrics, [])?.increment(by: Int64(1))
    return otherwise()
  }
}

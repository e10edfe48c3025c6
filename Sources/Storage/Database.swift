import Synchronization

public struct DatabaseOptions: Sendable {
  /// Connections that read beside the writer; at least 1.
  public var readers: Int
  /// How many writers may share one transaction; at least 1. Bounds how long the first of them waits for the last.
  public var largestBatch: Int
  /// How long a statement waits for a lock of another connection.
  public var busyTimeout: Duration
  /// Told how many writes shared a transaction, after each commit, on the writer's own thread: it must be quick.
  public var onCommit: (@Sendable (_ writes: Int) -> Void)?
  /// Whether SQLite flushes at every commit. For tests alone: without it they must see rows lost with the power.
  var synchronous = Synchronous.full

  enum Synchronous: String, Sendable { case full = "FULL", off = "OFF" }

  /// PostgreSQL: how long one statement may take; zero for no limit.
  public var statementTimeout: Duration
  /// PostgreSQL: how long a transaction may stand still before the server ends it and frees its locks: a process that
  /// is frozen inside of one would hold up all others. Well below `busyTimeout`, so that they wait long enough.
  public var idleTransactionTimeout: Duration
  /// PostgreSQL: how long one attempt to connect may take, in whole seconds, at least 2.
  public var connectTimeout: Duration
  /// PostgreSQL: how long opening waits for a server that is not there yet, or for another process's migration.
  public var startTimeout: Duration
  /// PostgreSQL: how long work waits for the server to come back before it fails.
  public var reconnectWait: Duration
  /// PostgreSQL: what the server's list of connections shows.
  public var applicationName: String

  public init(
    readers: Int = 4, largestBatch: Int = 512, busyTimeout: Duration = .seconds(5),
    statementTimeout: Duration = .seconds(30), idleTransactionTimeout: Duration = .seconds(2),
    connectTimeout: Duration = .seconds(5), startTimeout: Duration = .seconds(30),
    reconnectWait: Duration = .seconds(2), applicationName: String = "buddy"
  ) {
    self.readers = max(1, readers)
    self.largestBatch = max(1, largestBatch)
    self.busyTimeout = busyTimeout
    self.statementTimeout = statementTimeout
    self.idleTransactionTimeout = idleTransactionTimeout
    self.connectTimeout = connectTimeout
    self.startTimeout = startTimeout
    self.reconnectWait = reconnectWait
    self.applicationName = applicationName
  }
}

/// What the writer has done since the database was opened.
public struct DatabaseStatistics: Sendable, Hashable {
  /// Transactions committed.
  public var commits = 0
  /// Closures whose work was committed; `writes / commits` is the mean batch.
  public var writes = 0
  public var largestBatch = 0
  /// Closures waiting for their turn at this moment.
  public var waitingWrites = 0

  mutating func count(batch: Int) {
    commits += 1
    writes += batch
    largestBatch = max(largestBatch, batch)
  }
}

/// A service's database: one writer with group commit, and readers beside it.
///
/// Everything that blocks runs on the database's own threads. Neither `write` nor `read` ends early when the calling
/// task is cancelled: what was handed in is done, so that the answer is always the truth.
public final class Database: Sendable {
  /// Whether no other process can have the database open while this one has: true for a file behind its lock.
  public let isExclusive: Bool
  let writer: Writer
  let signals: CommitSignals
  let engine: any Engine
  let migrations: [Migration]
  private let readers = Readers()
  private let listener = Mutex<(any SignalListener)?>(nil)

  private init(isExclusive: Bool, engine: any Engine, migrations: [Migration], options: DatabaseOptions) {
    self.isExclusive = isExclusive
    self.engine = engine
    self.migrations = migrations
    signals = CommitSignals()
    writer = Writer(options: options, signals: signals)
  }

  deinit {
    writer.mailbox.close()
    readers.abandon()
    listener.withLock { $0 }?.abandon()
    signals.finish()
  }

  /// Opens the database, creating the file and its folder (readable by their owner only) where they are missing, and
  /// applies the migrations that it lacks, after a backup.
  ///
  /// Throws ``StorageError``: `locked` where it is open already, `schemaNewer`, `migrationEdited`, `migrationGap`
  /// and `migrationFailed` for its schema, `cannotOpen` and the disk's errors for the file.
  public static func open(
    _ location: DatabaseLocation, migrations: [Migration], options: DatabaseOptions = .init()
  ) async throws -> Database {
    let (engine, name) = Self.engine(location, options)
    let database = Database(
      isExclusive: location.isExclusive, engine: engine, migrations: migrations, options: options)
    do {
      try await database.writer.start(engine) { session in
        try Migrator(migrations: migrations, path: name).run(session)
      }
      try await database.readers.start(engine, count: options.readers)
      if let listener = engine.makeListener(database.signals) {
        database.listener.withLock { $0 = listener }
        try await listener.start()
      }
    } catch {
      await database.close()
      throw error
    }
    return database
  }

  /// The engine of a location, and the location's name for messages.
  static func engine(_ location: DatabaseLocation, _ options: DatabaseOptions) -> (any Engine, String) {
    switch location {
    case .sqlite(let path): (
        SQLiteEngine(path: path, busyTimeout: options.busyTimeout, synchronous: options.synchronous), path
      )
    case .postgres(let address): (PostgresEngine(address: address, options: options), address.description)
    }
  }

  /// The number of the last migration.
  public var schemaVersion: Int { migrations.count }

  /// Runs a closure inside a write transaction that it may share with others (group commit), and returns once what
  /// it wrote is durable.
  ///
  /// A closure that throws is undone alone, and its error comes out here. A failing commit throws a ``StorageError``
  /// to every closure of the turn. The closure runs on the writer's thread and holds up all other writers: it should
  /// only talk to the database. It must not be called from inside another closure.
  @discardableResult
  public func write<T: Sendable>(_ body: @escaping @Sendable (WriteConnection) throws -> T) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
      handIn(body) { continuation.resume(with: $0) }
    }
  }

  /// As ``write(_:)``, without waiting: what one caller hands in is run in that order, and `done` is told what became of
  /// it. That is called once, on the writer's own thread, after the commit: it must be quick and never wait.
  public func handIn<T: Sendable>(
    _ body: @escaping @Sendable (WriteConnection) throws -> T,
    done: @escaping @Sendable (Result<T, any Error>) -> Void
  ) {
    let job = WriteJob { connection in
      let value = try body(connection)
      return { error in done(error.map { .failure($0) } ?? .success(value)) }
    } fail: { error in
      done(.failure(error))
    }
    if !writer.mailbox.put(job) { done(.failure(StorageError.closed)) }
  }

  /// Runs a closure inside a read transaction on a reader's thread. It sees every write that was answered before.
  public func read<T: Sendable>(_ body: @escaping @Sendable (ReadConnection) throws -> T) async throws -> T {
    try await withCheckedThrowingContinuation { continuation in
      let job = ReadJob { connection in
        let result = Result { try body(connection) }
        return { continuation.resume(with: result) }
      } fail: { error in
        continuation.resume(throwing: error)
      }
      if !readers.submit(job) { continuation.resume(throwing: StorageError.closed) }
    }
  }

  /// Wake-ups of a topic (``WriteConnection/notify(_:)``) until the database is closed or the continuation finished.
  /// Several that come while nobody waits are one; the continuation adds some of one's own. They are hints: one may be
  /// missing when a connection breaks, so look from time to time without one.
  public func listen(_ topic: String) -> (stream: AsyncStream<Void>, continuation: AsyncStream<Void>.Continuation) {
    signals.listen(topic)
  }

  public var statistics: DatabaseStatistics { writer.statistics }

  /// Finishes what was handed in, refuses what comes later with ``StorageError/closed``, and closes the file.
  /// Returns when it may be opened again. Calling it twice is fine.
  public func close() async {
    signals.finish()
    await listener.withLock { $0 }?.close()
    // The writer's connection must be the last one to close: it moves the log into the database file.
    await readers.close()
    await writer.close()
  }
}

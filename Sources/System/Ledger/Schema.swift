// Schema: the tables of a run's ledger, and how older ledgers become newer ones.
//
// `sqlite3 RUN/ledger.sqlite .schema` shows these statements with their comments, which are the documentation for
// queries. A migration is never edited once a release has written it; a new one is appended.

enum Schema {
  /// Marks the file as a ledger of ttrl: "TTRL" in ASCII, in SQLite's application_id.
  static let applicationID: Int64 = 0x5454_524C

  /// What each version adds to the version before. The schema's version (user_version) is the number of applied
  /// migrations.
  static let migrations = [
    """
    -- Facts about the run, one per key: manifest (settings and versions, JSON), and what resuming needs.
    CREATE TABLE run (
      key TEXT PRIMARY KEY,
      value TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE prompts (
      question_set TEXT NOT NULL CHECK (question_set IN ('training', 'held_out', 'transfer')),
      prompt_index INTEGER NOT NULL,   -- from 0, in the order of the question file
      id TEXT,                         -- the question file's own name for it
      text TEXT NOT NULL,              -- the question, as written
      tokens BLOB NOT NULL,            -- int32, little-endian: what the policy sees, template applied
      answer TEXT,                     -- for metrics only; no label or reward is made from it
      PRIMARY KEY (question_set, prompt_index)
    ) STRICT, WITHOUT ROWID;

    -- One batch of sampling: a training step's, or one evaluation of one question set.
    CREATE TABLE rounds (
      code INTEGER PRIMARY KEY,        -- purpose << 28 | question set << 24 | step
      purpose TEXT NOT NULL CHECK (purpose IN ('train', 'evaluate')),
      question_set TEXT NOT NULL CHECK (question_set IN ('training', 'held_out', 'transfer')),
      step INTEGER NOT NULL,           -- of training; or the policy version that is evaluated
      policy_version INTEGER NOT NULL, -- that samples it
      slots INTEGER NOT NULL,          -- prompts times samples: the trajectories it is complete with
      state TEXT NOT NULL CHECK (state IN ('open', 'closed')),
      opened_at REAL NOT NULL,         -- seconds since 1970 UTC, here and in every ..._at
      closed_at REAL                   -- when its last slot was settled
    ) STRICT;

    -- Every process that sampled for this run, once per connection.
    CREATE TABLE workers (
      id INTEGER PRIMARY KEY,
      name TEXT NOT NULL,
      address TEXT NOT NULL,
      instruction_set TEXT NOT NULL,   -- instruction set and kernel library decide the last bits of a result
      libraries TEXT NOT NULL,
      joined_at REAL NOT NULL,
      left_at REAL,
      left_because TEXT
    ) STRICT;

    -- One sampled response per slot. The first one wins; the primary key is what refuses a second.
    CREATE TABLE trajectories (
      round INTEGER NOT NULL REFERENCES rounds (code),
      prompt INTEGER NOT NULL,         -- prompt_index in the round's question set
      sample INTEGER NOT NULL,         -- from 0
      policy_version INTEGER NOT NULL,
      worker INTEGER REFERENCES workers (id),
      tokens BLOB NOT NULL,            -- int32, little-endian: the response
      logprobs BLOB NOT NULL,          -- float32, little-endian: natural log, one per token
      entropy_sum REAL NOT NULL,       -- nats, over all tokens
      finish TEXT NOT NULL CHECK (finish IN ('stop', 'length')),
      PRIMARY KEY (round, prompt, sample)
    ) STRICT;

    CREATE TABLE policy_versions (
      version INTEGER PRIMARY KEY,     -- 0 is the model the run began with
      sha256 TEXT NOT NULL,            -- of the published bytes
      path TEXT NOT NULL,              -- relative to the run directory
      bytes INTEGER NOT NULL,
      made_by_step INTEGER,            -- NULL for version 0
      made_at REAL NOT NULL,
      removed_at REAL                  -- when its file was deleted, needed no more
    ) STRICT;

    CREATE TABLE steps (
      step INTEGER PRIMARY KEY,
      metrics TEXT NOT NULL CHECK (json_valid(metrics))
    ) STRICT;

    CREATE TABLE evaluations (
      round INTEGER PRIMARY KEY REFERENCES rounds (code),
      metrics TEXT NOT NULL CHECK (json_valid(metrics))
    ) STRICT;

    -- What happened, for people. Nothing is decided by it.
    CREATE TABLE events (
      number INTEGER PRIMARY KEY AUTOINCREMENT,
      happened_at REAL NOT NULL,
      kind TEXT NOT NULL,              -- as in the log: "worker.joined", "lease.expired"
      detail TEXT NOT NULL
    ) STRICT;
    """,
    """
    -- Slots that do not count, and why. A closed round has as many trajectories that count as slots without a row here.
    -- Some were sampled all the same, before it was known, and have a trajectory too.
    CREATE TABLE unneeded_slots (
      round INTEGER NOT NULL REFERENCES rounds (code),
      prompt INTEGER NOT NULL,
      sample INTEGER NOT NULL,
      reason TEXT NOT NULL CHECK (reason IN ('vote decided')),
      PRIMARY KEY (round, prompt, sample)
    ) STRICT, WITHOUT ROWID;
    """,
    """
    -- The lease that a trajectory came under, for people. Numbers begin anew at every start of the coordinator; NULL
    -- where an older program wrote.
    ALTER TABLE trajectories ADD COLUMN lease INTEGER;
    """,
    """
    -- When the run ended before the round, still 'open', was complete: it never will be.
    ALTER TABLE rounds ADD COLUMN abandoned_at REAL;
    """,
    """
    -- What a method can ask a sampler to record: float32, little-endian, the entropy of each token's distribution in
    -- nats; and how far these distributions are from uniform, a mean over the tokens. NULL where it is not asked for.
    ALTER TABLE trajectories ADD COLUMN entropies BLOB;
    ALTER TABLE trajectories ADD COLUMN self_certainty REAL;
    """,
    """
    -- What the reward command said about a response, once. Nothing uses a verdict that is not here, and a second one is
    -- refused.
    CREATE TABLE verdicts (
      round INTEGER NOT NULL REFERENCES rounds (code),
      prompt INTEGER NOT NULL,
      sample INTEGER NOT NULL,
      reward REAL,                     -- NULL: it gave none
      vote_weight REAL,                -- NULL: it gave none, and the vote's weight is 1
      valid INTEGER NOT NULL CHECK (valid IN (0, 1)),
      fault TEXT,                      -- why it gave no verdict: late, ended, garbled, flooded, crowded
      judged_at REAL NOT NULL,
      PRIMARY KEY (round, prompt, sample)
    ) STRICT, WITHOUT ROWID;
    """,
  ]

  /// Migrates a ledger to the newest version, in one transaction. Writes nothing to a file that is not a ledger.
  /// - Throws: `.notALedger`, `.newerSchema`, and what SQLite reports.
  static func migrate(_ database: Database) throws(LedgerError) {
    try database.execute("BEGIN IMMEDIATE")
    do throws(LedgerError) {
      let version = try version(of: database, mayBeEmpty: true)
      for number in version..<migrations.count { try database.execute(migrations[number]) }
      try database.execute("PRAGMA application_id = \(applicationID); PRAGMA user_version = \(migrations.count)")
      try database.execute("COMMIT")
    } catch {
      if database.isInTransaction { try? database.execute("ROLLBACK") }
      throw error
    }
  }

  /// Reads the schema's version.
  /// - Parameters:
  ///   - database: the ledger's database.
  ///   - mayBeEmpty: accept a database without any table, as version 0.
  /// - Returns: at most the number of known migrations.
  /// - Throws: `.notALedger`, `.newerSchema`, and what SQLite reports.
  @discardableResult
  static func version(of database: Database, mayBeEmpty: Bool) throws(LedgerError) -> Int {
    let found = try database.rows(
      """
      SELECT (SELECT application_id FROM pragma_application_id), (SELECT user_version FROM pragma_user_version),
        (SELECT count(*) FROM sqlite_schema)
      """
    ) { ($0.integer(0), Int($0.integer(1)), $0.integer(2)) }
    guard let (application, version, tables) = found.first else { return 0 }
    if mayBeEmpty, application == 0, tables == 0 { return 0 }
    guard application == applicationID, version > 0 else { throw .notALedger(path: database.path) }
    guard version <= migrations.count else {
      throw .newerSchema(path: database.path, found: version, known: migrations.count)
    }
    return version
  }
}

-- The ledger: imports, their sessions, committed batches and rejected rows.
-- Times are milliseconds since 1970, by the clock of the machine that SQLite runs on.

CREATE TABLE rowlift_imports (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    owner          TEXT    NOT NULL DEFAULT '',
    import_id      TEXT    NOT NULL,
    tenant         TEXT    NOT NULL,
    target_table   TEXT    NOT NULL,
    fingerprint    BLOB    NOT NULL CHECK (length(fingerprint) = 32),
    file_name      TEXT    NOT NULL,
    labels         TEXT    NOT NULL,
    validate_only  INTEGER NOT NULL,
    write_method   INTEGER NOT NULL,
    epoch          INTEGER NOT NULL CHECK (epoch > 0),
    -- 2 running (suspended where no session holds a lease), 5 succeeded, 6 failed, 7 cancelled.
    state          INTEGER NOT NULL CHECK (state IN (2, 5, 6, 7)),
    -- Why the last session stopped, JSON.
    failure        TEXT,
    -- How it ended, JSON; set with a terminal state.
    outcome        TEXT,
    create_time_ms INTEGER NOT NULL,
    update_time_ms INTEGER NOT NULL,
    end_time_ms    INTEGER,
    -- When id and rejected values may be forgotten; set with a terminal state.
    expire_time_ms         INTEGER,
    rejects_expire_time_ms INTEGER,
    UNIQUE (owner, import_id)
) STRICT;

-- All that changes while an import runs. The newest epoch holds the import.
CREATE TABLE rowlift_sessions (
    import         INTEGER NOT NULL REFERENCES rowlift_imports (id) ON DELETE CASCADE,
    epoch          INTEGER NOT NULL,
    server         TEXT    NOT NULL,
    begin_time_ms  INTEGER NOT NULL,
    -- 0: given up.
    lease_until_ms INTEGER NOT NULL,
    -- Set: somebody asked to stop.
    cancel_reason  TEXT,
    received_bytes INTEGER NOT NULL DEFAULT 0 CHECK (received_bytes >= 0),
    received_rows  INTEGER NOT NULL DEFAULT 0 CHECK (received_rows >= 0),
    phase          INTEGER NOT NULL DEFAULT 1,
    retries        INTEGER NOT NULL DEFAULT 0 CHECK (retries >= 0),
    PRIMARY KEY (import, epoch)
) STRICT, WITHOUT ROWID;

-- Ranges of ordinals that are decided, disjoint; written in the transaction of their rows.
CREATE TABLE rowlift_import_batches (
    import        INTEGER NOT NULL REFERENCES rowlift_imports (id) ON DELETE CASCADE,
    first_ordinal INTEGER NOT NULL CHECK (first_ordinal >= 0),
    end_ordinal   INTEGER NOT NULL CHECK (end_ordinal > first_ordinal),
    -- More than 1 where ranges were folded.
    batches       INTEGER NOT NULL CHECK (batches > 0),
    inserted      INTEGER NOT NULL CHECK (inserted >= 0),
    updated       INTEGER NOT NULL CHECK (updated >= 0),
    unchanged     INTEGER NOT NULL CHECK (unchanged >= 0),
    skipped       INTEGER NOT NULL CHECK (skipped >= 0),
    rejected      INTEGER NOT NULL CHECK (rejected >= 0),
    blank         INTEGER NOT NULL CHECK (blank >= 0),
    -- 128-bit wrapping sum, little-endian.
    rows_hash     BLOB    NOT NULL CHECK (length(rows_hash) = 16),
    -- The caller's place after the range; row imports only.
    position      BLOB,
    PRIMARY KEY (import, first_ordinal),
    CHECK (inserted + updated + unchanged + skipped + rejected + blank
           = end_ordinal - first_ordinal)
) STRICT, WITHOUT ROWID;

-- Rows that are not in the table, and why.
CREATE TABLE rowlift_rejected_rows (
    import     INTEGER NOT NULL REFERENCES rowlift_imports (id) ON DELETE CASCADE,
    ordinal    INTEGER NOT NULL CHECK (ordinal >= 0),
    row_number INTEGER NOT NULL,
    sheet      TEXT    NOT NULL,
    -- Numbers of the row's codes, each between commas: ',1,5,'.
    codes      TEXT    NOT NULL,
    -- Errors and values, JSON.
    detail     BLOB    NOT NULL,
    PRIMARY KEY (import, ordinal)
) STRICT, WITHOUT ROWID;

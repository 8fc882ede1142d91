//! Rows and ledger in SQLite.

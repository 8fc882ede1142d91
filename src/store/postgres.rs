//! Rows and ledger in PostgreSQL.

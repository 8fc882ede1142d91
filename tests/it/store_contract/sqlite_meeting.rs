//! Rows that meet a key, where only SQLite does what it does.

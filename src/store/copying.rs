//! What an engine that speaks PostgreSQL's protocol can do with COPY.
//!
//! In: two keys of the configuration. Out: for rows about to be written, the form in which they are
//! copied, if they are. docs/ENGINES.md says which engine needs what.

/// How rows are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copying {
    /// The form of a COPY's data; `None`: the engine has no COPY, rows are inserted.
    pub format: Option<CopyFormat>,
    /// COPY works behind a savepoint, and a failed one can be gone back from. Where it does not, a
    /// COPY stands in a transaction without savepoints; once it fails the transaction is rolled
    /// back and begun anew, and rows are inserted.
    pub behind_savepoints: bool,
}

/// The form of a COPY's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyFormat {
    /// The fastest.
    Binary,
    /// For engines whose types have another binary form, or none.
    Text,
}

impl Default for Copying {
    fn default() -> Copying {
        Copying {
            format: Some(CopyFormat::Binary),
            behind_savepoints: true,
        }
    }
}

impl Copying {
    /// The form where a savepoint may be open; `None`: rows are inserted.
    pub(super) fn anywhere(self) -> Option<CopyFormat> {
        self.format.filter(|_| self.behind_savepoints)
    }
}

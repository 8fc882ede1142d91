//! The bounds on what a file may ask for. Defaults are those of the documentation.

use serde::{Deserialize, Serialize};

/// Bounds on a file; see each field for its unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// A workbook as uploaded, bytes.
    pub workbook_bytes_max: u64,
    /// A CSV file as uploaded, bytes.
    pub csv_bytes_max: u64,
    /// All inflated parts of a workbook together, bytes, counted while reading.
    pub inflated_bytes_max: u64,
    /// Inflated to deflated size, beyond the first MiB.
    pub inflate_ratio_max: u64,
    /// Entries of a workbook's zip.
    pub zip_entries_max: u64,
    /// Shared strings of a workbook, bytes.
    pub shared_strings_bytes_max: u64,
    /// What a decoder keeps of them in memory, bytes; those of an xlsx or xlsm beyond it go to an
    /// unnamed file in the spool directory, while at least half of `spool_bytes_max` stays free.
    pub shared_strings_memory_bytes_max: u64,
    /// A workbook's cell, characters.
    pub cell_chars_max: u64,
    /// A CSV cell, bytes.
    pub csv_cell_bytes_max: u64,
    /// A CSV record, bytes of its cells together: what a decoder holds of an unfinished record.
    pub csv_row_bytes_max: u64,
    /// Columns of a sheet or CSV record.
    pub columns_max: u64,
    /// Rows of a workbook's sheet.
    pub sheet_rows_max: u64,
    /// Address space of the decoder's child process, bytes.
    pub child_address_space_bytes: u64,
    /// CPU seconds that a child may always use.
    pub child_cpu_seconds_min: u64,
    /// CPU seconds a MiB of workbook that a child may use beyond that.
    pub child_cpu_seconds_per_mib: u64,
    /// Open files of a child.
    pub child_open_files: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            workbook_bytes_max: 256 << 20,
            csv_bytes_max: 64 << 30,
            inflated_bytes_max: 2 << 30,
            inflate_ratio_max: 200,
            zip_entries_max: 10_000,
            shared_strings_bytes_max: 512 << 20,
            shared_strings_memory_bytes_max: 32 << 20,
            cell_chars_max: 32_767,
            csv_cell_bytes_max: 1 << 20,
            csv_row_bytes_max: 16 << 20,
            columns_max: 16_384,
            sheet_rows_max: 1_048_576,
            child_address_space_bytes: 1536 << 20,
            child_cpu_seconds_min: 60,
            child_cpu_seconds_per_mib: 2,
            child_open_files: 32,
        }
    }
}

//! What a person can do next about an import that has not ended here.
//!
//! In: what the server said. Out: remarks with whole commands.

use crate::cli::args::ImportArgs;
use crate::cli::server;
use crate::cli::terminal::Terminal;
use crate::client::error::ClientError;

/// Whether the import exists, and runs or is suspended.
pub(super) fn is_resumable(error: &ClientError) -> bool {
    matches!(
        error.reason().as_deref(),
        Some("IMPORT_BUSY" | "WRONG_STATE")
    )
}

/// Whether a newer session has taken the import over.
pub(super) fn is_fenced(error: &ClientError) -> bool {
    error.reason().as_deref() == Some("FENCED")
}

/// Tells how the import goes on: it is watched where another session has it, else resumed.
pub(super) fn tell(
    args: &ImportArgs,
    terminal: &mut Terminal,
    error: Option<&ClientError>,
    import_id: &str,
) {
    let flags = server::flags(&args.server);
    let reason = error.and_then(ClientError::reason);
    let is_elsewhere = matches!(reason.as_deref(), Some("IMPORT_BUSY" | "FENCED"));
    let aim = if is_elsewhere {
        terminal.note(format!("to follow it: rowlift watch {import_id}{flags}"));
        "to take it over"
    } else {
        "to continue"
    };
    terminal.note(format!(
        "{aim}: rowlift import {} --table {}{flags} --import-id {import_id} --resume, and the same \
         options",
        server::quoted(&args.file),
        args.table,
    ));
}

use super::{Ending, of};
use crate::model::import::Reason;

#[test]
fn reasons_end_imports_as_the_contract_says() {
    for (reason, ending) in [
        (Reason::CorruptFile, Ending::Failed),
        (Reason::ChecksumMismatch, Ending::Failed),
        (Reason::IdConflict, Ending::Failed),
        (Reason::LimitExceeded, Ending::Failed),
        (Reason::RowRejected, Ending::Failed),
        (Reason::AllRowsRejected, Ending::Failed),
        (Reason::IncompleteStream, Ending::Suspended),
        (Reason::IdleTimeout, Ending::Suspended),
        (Reason::OffsetGap, Ending::Suspended),
        (Reason::Deadline, Ending::Suspended),
        (Reason::Draining, Ending::Suspended),
        (Reason::DatabaseUnavailable, Ending::Suspended),
        (Reason::ReadOnly, Ending::Suspended),
        (Reason::SchemaChanged, Ending::Suspended),
        (Reason::DiskFull, Ending::Suspended),
        (Reason::Internal, Ending::Suspended),
        (Reason::CancelledByCaller, Ending::Suspended),
        (Reason::Fenced, Ending::Unchanged),
        (Reason::ClientAbort, Ending::Cancelled),
        (Reason::CancelledByRequest, Ending::Cancelled),
    ] {
        assert_eq!(of(reason), ending, "{reason:?}");
    }
}

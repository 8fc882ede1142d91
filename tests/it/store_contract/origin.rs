//! Whose an import is and of what file: its tenant and labels, and earlier imports of the same file.

use rowlift::model::import::{ImportState, NewImport, Reason};
use rowlift::model::stats::RowCounts;
use rowlift::store::query::SameFile;
use rowlift::store::{OpenMode, Opened};

use super::backend::{Backend, new_import, open, outcome, refusal};

pub(crate) async fn earlier_imports_are_found_in_their_scope(backend: &dyn Backend) {
    let store = backend.store();
    let end = async |new: &NewImport, state, sha256: [u8; 32]| {
        let key = open(&*store, new, OpenMode::Begin).await.key;
        let mut ended = outcome(state, RowCounts::default());
        ended.file_sha256 = sha256.to_vec();
        store.end_import(key, &ended).await.unwrap();
    };
    end(&new_import("failed"), ImportState::Failed, [1; 32]).await;
    let dry = NewImport {
        validate_only: true,
        ..new_import("dry")
    };
    end(&dry, ImportState::Succeeded, [1; 32]).await;
    let file = SameFile {
        owner: "alice",
        tenant: "",
        table: "main.t",
        sha256: [1; 32],
        import_id: "asks",
    };
    assert_eq!(store.earlier_import(file).await.unwrap(), None);
    end(&new_import("first"), ImportState::Succeeded, [1; 32]).await;
    end(&new_import("second"), ImportState::Succeeded, [1; 32]).await;
    for (change, found) in [
        (file, Some("first")),
        (
            SameFile {
                import_id: "first",
                ..file
            },
            Some("second"),
        ),
        (
            SameFile {
                owner: "bob",
                ..file
            },
            None,
        ),
        (
            SameFile {
                tenant: "acme",
                ..file
            },
            None,
        ),
        (
            SameFile {
                table: "main.u",
                ..file
            },
            None,
        ),
        (
            SameFile {
                sha256: [2; 32],
                ..file
            },
            None,
        ),
    ] {
        let earlier = store.earlier_import(change).await.unwrap();
        assert_eq!(earlier.as_deref(), found, "{change:?}");
    }
    // Of one that was deleted the hash is still known, of one that has expired nothing is.
    store.delete_import("alice", "first").await.unwrap();
    let earlier = store.earlier_import(file).await.unwrap();
    assert_eq!(earlier.as_deref(), Some("first"));
    backend.pass_days(91).await;
    assert_eq!(store.earlier_import(file).await.unwrap(), None);
}

pub(crate) async fn tenant_and_labels_are_set_once(backend: &dyn Backend) {
    let store = backend.store();
    let with = |tenant: &str, label: &str| {
        let mut new = new_import("mine");
        tenant.clone_into(&mut new.tenant);
        new.labels.insert("team".to_owned(), label.to_owned());
        new
    };
    let first = open(&*store, &with("acme", "x"), OpenMode::Begin).await;
    assert_eq!(first.tenant, "acme");
    for mode in [OpenMode::Begin, OpenMode::Resume, OpenMode::Repeat] {
        let other = refusal(&*store, &with("evil", "x"), mode).await;
        assert_eq!(other.reason, Reason::ImportNotFound, "{mode:?}");
    }
    let unset = open(&*store, &with("", "y"), OpenMode::Resume).await;
    assert_eq!((unset.tenant.as_str(), unset.resumed), ("acme", true));
    let same = open(&*store, &with("acme", "z"), OpenMode::Resume).await;
    assert_eq!(same.tenant, "acme");
    let record = store.import("alice", "mine").await.unwrap().unwrap();
    assert_eq!(record.tenant, "acme");
    assert_eq!(record.labels["team"], "x");
    let ended = outcome(ImportState::Succeeded, RowCounts::default());
    store.end_import(same.key, &ended).await.unwrap();
    let other = refusal(&*store, &with("evil", "x"), OpenMode::Resume).await;
    assert_eq!(other.reason, Reason::ImportNotFound);
    let replayed = store.open_import(&with("", ""), OpenMode::Resume).await;
    assert!(matches!(replayed, Ok(Opened::Ended(_))), "{replayed:?}");
}

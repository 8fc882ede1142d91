//! A connection that is cut around a COMMIT: the service cannot know whether the batch is in.

use super::{file_header, leaves_nothing, ledger_has, migrated};
use crate::support::businesses;
use crate::support::process::ServerProcess;
use crate::support::proxy::Proxy;
use crate::support::running::{Running, stats};

const ROWS: u64 = 20_000;

/// An import through a proxy that begins to cut once the first rows are committed.
async fn import_with_cuts(cut: impl FnOnce(&Proxy)) {
    let database = migrated().await;
    let proxy = Proxy::start(database.service_addr()).await;
    let database = database.through_proxy(proxy.addr());
    let server = ServerProcess::start(&database, &[("batch_rows_max", "500")]).await;
    let csv = businesses::csv(ROWS, 1);
    let client = server.client().await;
    let mut import = Running::file(client, file_header("cut"), csv, 64 << 10);
    import.until_committed(1).await;
    cut(&proxy);
    let counts = stats(&import.end().await.unwrap());
    assert_eq!(
        (counts.inserted_row_count, counts.rejected_row_count),
        (i64::try_from(ROWS).unwrap(), 0)
    );
    assert!(proxy.n_cut() > 0, "nothing was cut");
    assert!(counts.retry_count > 0, "{counts:?}");
    assert_eq!(businesses::tally(&database).await, businesses::once(ROWS));
    ledger_has(&database, "cut", ROWS).await;
    server.leaves_nothing().await;
    leaves_nothing(&database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_whose_answer_is_lost_are_in_once() {
    import_with_cuts(|proxy| proxy.cut_replies(10)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_that_never_arrive_are_made_again() {
    import_with_cuts(|proxy| proxy.cut_commits(10)).await;
}

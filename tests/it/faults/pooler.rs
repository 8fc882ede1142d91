//! Many clients over few connections: every answer is the asker's.

use rowlift::client::messages;
use rowlift::proto::{ImportHeader, State};

use super::{leaves_nothing, migrated};
use crate::support::pgbouncer::PgBouncer;
use crate::support::process::ServerProcess;
use crate::support::running::{Running, stats};
use crate::support::size::short_or_long;
use crate::support::waits::eventually;

const CLIENTS: usize = 8;

/// Imports a number of rows that no other client has, some of them bad, and asks for all that is
/// known of them.
async fn import_and_ask(server: &ServerProcess, client_index: usize, round: usize) {
    let client = server.client().await;
    let table = format!("public.t{client_index}");
    let id = format!("client-{client_index}-{round}");
    let n_rows = 10 + client_index;
    let row = |at: usize| {
        // The last row is too long.
        let text = if at + 1 == n_rows {
            "x".repeat(9)
        } else {
            format!("{client_index}")
        };
        vec![messages::text(&text)]
    };
    let header = ImportHeader {
        import_id: id.clone(),
        ..messages::row_header(&table, &["v"])
    };
    let rows = messages::row_batch(None, (0..n_rows).map(row).collect());
    let finish = messages::finish_rows(i64::try_from(n_rows).unwrap());
    let sent = futures::stream::iter([rows, finish]);
    let finished = Running::messages(client.clone(), header, sent).end().await;
    let counts = stats(&finished.unwrap());
    let wanted = [n_rows - 1, 1].map(|n| i64::try_from(n).unwrap());
    assert_eq!(
        [counts.inserted_row_count, counts.rejected_row_count],
        wanted
    );

    let described = client.table(&table).await.unwrap();
    assert_eq!(described.name, table);
    let job = client.import(&id).await.unwrap();
    assert_eq!(
        (job.import_id.as_str(), job.state()),
        (id.as_str(), State::Succeeded)
    );
    assert_eq!(job.table, table);
    assert_eq!(job.stats.unwrap().inserted_row_count, wanted[0]);
    let rejected = client.rejected_rows(&id, 10, "").await.unwrap();
    assert_eq!(rejected.total_size, 1);
    let offset = rejected.rejected_rows[0].offset;
    assert_eq!(usize::try_from(offset).unwrap(), n_rows - 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_clients_over_three_connections_get_their_own_answers() {
    let database = migrated().await;
    for index in 0..CLIENTS {
        let table = format!("create table t{index} (v varchar(8))");
        database.execute(&table).await;
    }
    let pgbouncer = PgBouncer::start(&database, 3);
    let database = database.through_pooler(pgbouncer.addr());
    let settings = [("writers_max", "8")];
    let server = ServerProcess::start(&database, &settings).await;
    let n_rounds = short_or_long(10, 100);
    let clients = (0..CLIENTS).map(async |index| {
        for round in 0..n_rounds {
            import_and_ask(&server, index, round).await;
        }
    });
    futures::future::join_all(clients).await;
    for index in 0..CLIENTS {
        let sql = format!("select count(*) || ' of ' || min(v) || max(v) from t{index}");
        let wanted = format!("{} of {index}{index}", n_rounds * (9 + index));
        assert_eq!(database.value(&sql).await, wanted);
    }
    let n_backends = "select count(*) from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid()
        and backend_type = 'client backend'";
    // That of the query before this one may be about to end.
    eventually("three connections at most", async || {
        database.value(n_backends).await.parse::<usize>().unwrap() <= 3
    })
    .await;
    server.leaves_nothing().await;
    leaves_nothing(&database).await;
}

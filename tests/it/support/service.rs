//! A service inside the test's process, over real loopback gRPC, and what tests say to it.

use std::time::Duration;

use futures::StreamExt;
use rowlift::app::App;
use rowlift::client::ImportClient;
use rowlift::config::Config;
use rowlift::proto::import_request::Payload;
use rowlift::proto::import_response::Event;
use rowlift::proto::import_service_client::ImportServiceClient;
use rowlift::proto::value::Kind;
use rowlift::proto::{self, import_header};
use tonic::transport::Channel;
use tonic::{Request, Status, Streaming};
use tonic_types::StatusExt;

use super::postgres::Database;

/// A test fails rather than hangs.
const WAIT: Duration = Duration::from_mins(1);

/// A running service with a client.
pub(crate) struct Service {
    /// The service.
    pub(crate) app: App,
    /// A client on a connection of its own.
    pub(crate) client: ImportServiceClient<Channel>,
    folder: tempfile::TempDir,
}

/// What became of an import: its events, and its status if that is not OK.
#[derive(Debug)]
pub(crate) struct Ended {
    /// In the order in which they came.
    pub(crate) events: Vec<Event>,
    /// `None`: OK.
    pub(crate) status: Option<Status>,
}

impl Service {
    /// On a new SQLite file with the tables of `schema`, all of them allowed.
    pub(crate) async fn sqlite(schema: &str) -> Service {
        Service::sqlite_with(schema, |_| {}).await
    }

    /// The same with other settings.
    pub(crate) async fn sqlite_with(schema: &str, change: impl FnOnce(&mut Config)) -> Service {
        let folder = tempfile::tempdir().unwrap();
        let url = format!(
            "sqlite://{}?mode=rwc",
            folder.path().join("test.db").display()
        );
        let service = Service::start(&url, folder, change).await;
        service.execute_sqlite(schema).await;
        service
    }

    /// On this PostgreSQL database, which is migrated.
    pub(crate) async fn postgres(database: &Database, change: impl FnOnce(&mut Config)) -> Service {
        let folder = tempfile::tempdir().unwrap();
        let service = Service::start(database.service_url(), folder, |config| {
            config.database_pooled = database.pooled();
            change(config);
        })
        .await;
        service.app.store().migrate().await.unwrap();
        service.app.ready().await;
        service
    }

    /// On this database.
    pub(crate) async fn start(
        url: &str,
        folder: tempfile::TempDir,
        change: impl FnOnce(&mut Config),
    ) -> Service {
        let mut config = Config::in_process(url).unwrap();
        config.allow(&["*"]);
        config.decoder_program = env!("CARGO_BIN_EXE_rowlift").into();
        config.spool_dir = folder.path().to_owned();
        change(&mut config);
        let app = App::start(config).await.unwrap();
        if app.store().ready().await.unwrap() {
            app.ready().await;
        }
        let client = connect(&app).await;
        Service {
            app,
            client,
            folder,
        }
    }

    /// A client on another connection.
    pub(crate) async fn another_client(&self) -> ImportServiceClient<Channel> {
        connect(&self.app).await
    }

    /// The Rust client, on another connection.
    pub(crate) async fn import_client(&self) -> ImportClient {
        let addr = self.app.addr().to_string();
        ImportClient::connect(&addr).await.unwrap()
    }

    /// Runs SQL in the SQLite file, beside the service.
    pub(crate) async fn execute_sqlite(&self, sql: &str) {
        let mut connection = self.sqlite_connection().await;
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    }

    /// Rows of a query in the SQLite file, as text.
    pub(crate) async fn query_sqlite(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        use sqlx::Row;
        let mut connection = self.sqlite_connection().await;
        let rows = sqlx::query(sql).fetch_all(&mut connection).await.unwrap();
        let text = |row: &sqlx::sqlite::SqliteRow, index| row.get_unchecked(index);
        rows.iter()
            .map(|row| (0..row.len()).map(|index| text(row, index)).collect())
            .collect()
    }

    /// The bytes of the SQLite file and its log, as text.
    pub(crate) fn dump_sqlite(&self) -> String {
        sqlite_dump(&self.folder.path().join("test.db"))
    }

    /// Files in the spool's directory, beside the database.
    pub(crate) fn spool_files(&self) -> Vec<std::path::PathBuf> {
        let files = std::fs::read_dir(self.folder.path()).unwrap();
        let files = files.map(|file| file.unwrap().path());
        files
            .filter(|path| !path.display().to_string().contains("test.db"))
            .collect()
    }

    /// Holds the SQLite file's only writer until the connection is dropped.
    pub(crate) async fn hold_sqlite(&self) -> sqlx::SqliteConnection {
        let mut connection = self.sqlite_connection().await;
        sqlx::raw_sql("begin immediate")
            .execute(&mut connection)
            .await
            .unwrap();
        connection
    }

    async fn sqlite_connection(&self) -> sqlx::SqliteConnection {
        use sqlx::Connection;
        let url = format!("sqlite://{}", self.folder.path().join("test.db").display());
        sqlx::SqliteConnection::connect(&url).await.unwrap()
    }

    /// Imports that run and imports that wait for a slot, by the service's own gauges.
    pub(crate) fn n_active(&self) -> (usize, usize) {
        let metrics = self.app.metrics_text();
        let (mut running, mut queued) = (0, 0);
        for line in metrics.lines() {
            if let Some(gauge) = line.strip_prefix("rowlift_imports_active{") {
                let n: usize = gauge.rsplit(' ').next().unwrap().parse().unwrap();
                let is_queued = gauge.contains("phase=\"queued\"");
                *(if is_queued { &mut queued } else { &mut running }) += n;
            }
        }
        (running, queued)
    }

    /// An import from its messages to its end.
    pub(crate) async fn import(&self, messages: Vec<Payload>) -> Ended {
        import(&mut self.client.clone(), messages).await
    }

    /// The state that the ledger has of an import.
    pub(crate) async fn job(&self, id: &str) -> proto::ImportJob {
        let request = proto::GetImportRequest {
            import_id: id.to_owned(),
            ..Default::default()
        };
        let response = self.client.clone().get_import(request).await.unwrap();
        response.into_inner().job.unwrap()
    }

    /// Stops the service; it must end in time.
    pub(crate) async fn stop(self) {
        drop(self.client);
        tokio::time::timeout(WAIT, self.app.stop())
            .await
            .expect("the stop ends")
            .unwrap();
    }
}

/// The bytes of a database's file and of its log, as text where they are text.
pub(crate) fn sqlite_dump(path: &std::path::Path) -> String {
    let mut dump = Vec::new();
    for suffix in ["", "-wal", "-journal"] {
        let path = format!("{}{suffix}", path.display());
        dump.extend(std::fs::read(path).unwrap_or_default());
    }
    String::from_utf8_lossy(&dump).into_owned()
}

async fn connect(app: &App) -> ImportServiceClient<Channel> {
    ImportServiceClient::connect(format!("http://{}", app.addr()))
        .await
        .unwrap()
}

/// Sends all messages, then half-closes, and reads to the end.
pub(crate) async fn import(
    client: &mut ImportServiceClient<Channel>,
    messages: Vec<Payload>,
) -> Ended {
    let requests = messages.into_iter().map(request);
    import_request(client, Request::new(futures::stream::iter(requests))).await
}

/// The same for a request with metadata or a stream of its own.
pub(crate) async fn import_request<S>(
    client: &mut ImportServiceClient<Channel>,
    request: Request<S>,
) -> Ended
where
    S: futures::Stream<Item = proto::ImportRequest> + Send + 'static,
{
    let work = async {
        match client.import(request).await {
            Ok(response) => read(response.into_inner()).await,
            Err(status) => Ended {
                events: Vec::new(),
                status: Some(status),
            },
        }
    };
    tokio::time::timeout(WAIT, work)
        .await
        .expect("the import ends")
}

async fn read(mut stream: Streaming<proto::ImportResponse>) -> Ended {
    let mut events = Vec::new();
    let mut status = None;
    while let Some(response) = stream.next().await {
        match response {
            Ok(response) => events.push(response.event.expect("an event is set")),
            Err(error) => status = Some(error),
        }
    }
    Ended { events, status }
}

/// A message.
pub(crate) fn request(payload: Payload) -> proto::ImportRequest {
    proto::ImportRequest {
        payload: Some(payload),
    }
}

/// A header for rows.
pub(crate) fn rows_header(id: &str, table: &str, columns: &[&str]) -> proto::ImportHeader {
    proto::ImportHeader {
        import_id: id.to_owned(),
        table: table.to_owned(),
        source: Some(import_header::Source::RowSource(proto::RowSource {
            column_names: columns.iter().map(|&name| name.to_owned()).collect(),
            as_cells: false,
        })),
        ..Default::default()
    }
}

/// A header for a file.
pub(crate) fn file_header(id: &str, table: &str) -> proto::ImportHeader {
    proto::ImportHeader {
        import_id: id.to_owned(),
        table: table.to_owned(),
        source: Some(import_header::Source::File(proto::FileSource::default())),
        ..Default::default()
    }
}

/// Rows of text; `None` is NULL.
pub(crate) fn rows(rows: &[&[Option<&str>]]) -> Payload {
    let value = |text: Option<&str>| proto::Value {
        kind: text.map(|text| Kind::StringValue(text.to_owned())),
    };
    let row = |values: &&[Option<&str>]| proto::Row {
        values: values.iter().copied().map(value).collect(),
        ..Default::default()
    };
    Payload::Rows(proto::RowBatch {
        rows: rows.iter().map(row).collect(),
        ..Default::default()
    })
}

/// Bytes of a file, in chunks of `size`.
pub(crate) fn chunks(data: &[u8], size: usize) -> Vec<Payload> {
    let chunk = |data: &[u8]| {
        Payload::Chunk(proto::FileChunk {
            data: data.to_vec().into(),
            ..Default::default()
        })
    };
    data.chunks(size).map(chunk).collect()
}

/// The last message.
pub(crate) fn finish() -> Payload {
    Payload::Finish(proto::Finish::default())
}

/// A whole file import: header, chunks, finish.
pub(crate) fn file_messages(header: proto::ImportHeader, data: &[u8]) -> Vec<Payload> {
    let mut messages = vec![Payload::Header(header)];
    messages.extend(chunks(data, 10_000));
    messages.push(finish());
    messages
}

impl Ended {
    /// The result, which must be the last event after `accepted` as the first.
    pub(crate) fn result(&self) -> &proto::ImportResult {
        assert!(
            matches!(self.events.first(), Some(Event::Accepted(_))),
            "{self:?}"
        );
        match self.events.last() {
            Some(Event::Result(result)) => result,
            _ => panic!("the last event is no result: {self:?}"),
        }
    }

    /// The counts of an import that ended OK; the law holds.
    pub(crate) fn ok(&self) -> &proto::ImportStats {
        assert!(self.status.is_none(), "{self:?}");
        let result = self.result();
        assert_eq!(result.state(), proto::State::Succeeded);
        self.stats()
    }

    /// The counts of any ended import; the law holds.
    pub(crate) fn stats(&self) -> &proto::ImportStats {
        let stats = self.result().stats.as_ref().expect("a result has counts");
        assert_eq!(
            stats.received_row_count,
            stats.inserted_row_count
                + stats.updated_row_count
                + stats.unchanged_row_count
                + stats.skipped_row_count
                + stats.rejected_row_count
                + stats.blank_row_count
                + stats.unprocessed_row_count,
            "conservation law: {stats:?}"
        );
        stats
    }

    /// The reason in the status, with its code.
    pub(crate) fn refusal(&self) -> (tonic::Code, String) {
        let status = self
            .status
            .as_ref()
            .unwrap_or_else(|| panic!("ended OK: {self:?}"));
        let info = status
            .get_details_error_info()
            .expect("every status has ErrorInfo");
        assert_eq!(info.domain, "rowlift");
        if let (Some(Event::Result(result)), Some(told)) =
            (self.events.last(), info.metadata.get("committed_offset"))
        {
            assert_eq!(*told, result.committed_offset.to_string(), "{result:?}");
        }
        (status.code(), info.reason)
    }

    /// All rejected rows that were told inline.
    pub(crate) fn rejected(&self) -> Vec<&proto::RejectedRow> {
        let mut rows = Vec::new();
        for event in &self.events {
            if let Event::RejectedRow(row) = event {
                rows.push(row);
            }
        }
        rows
    }
}

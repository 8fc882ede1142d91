//! The composition root: a configuration in, a running service out.
//!
//! In: a [`Config`]. Out: an [`App`] that serves gRPC on its address until it is stopped. The
//! order of a stop: health says NOT_SERVING and new imports are refused; the listener stays open
//! for the lame-duck time; running imports are told and have their grace; then they end with
//! DRAINING, the transport closes, and the store.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tracing::{info, warn};

use crate::batch::BatchLimits;
use crate::config::Config;
use crate::config::database_url::DatabaseKind;
use crate::disk::SpoolDir;
use crate::grpc::auth::AuthLayer;
use crate::grpc::oversized::OversizedLayer;
use crate::grpc::service::Rowlift;
use crate::grpc::trace::TraceLayer;
use crate::lookup::LookupConfig;
use crate::metrics::Metrics;
use crate::model::import::Failure;
use crate::proto::import_service_server::ImportServiceServer;
use crate::session::admission::Admission;
use crate::session::memory::Memory;
use crate::session::registry::Registry;
use crate::session::{SessionConfig, Sessions, ending, purge};
use crate::shutdown::Tasks;
use crate::store::allow::AllowList;
use crate::store::postgres::{PgConfig, PgStore};
use crate::store::sqlite::{SqliteConfig, SqliteStore};
use crate::store::{Retention, Store, StoreError};
use crate::telemetry::TelemetryError;
use crate::telemetry::meters::Meters;
use crate::watched;
use crate::writer::tables::Tables;
use crate::writer::{RetryPolicy, WriterPool};

mod observe;
mod reflection;
mod secured;
mod tls;

/// Pages of an embedded database in memory; less where there is little memory, which
/// `bytes_in_flight_max` follows.
const SQLITE_CACHE_BYTES_MAX: u64 = 128 << 20;
/// The service's name in health checks.
const SERVICE: &str = "rowlift.v1.ImportService";
/// Receive window of a stream: what one held-back import may have in transit.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// Calls on a connection that may be held back beside all admitted imports and still leave the
/// connection room.
const SPARE_STREAMS: u32 = 32;
/// Calls on one connection.
const CONCURRENT_STREAMS_MAX: u32 = 1024;
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(15);
/// A session that is not renewed for so long is taken for dead.
const LEASE: Duration = Duration::from_secs(15);
/// Questions to the ledger.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a batch is tried again.
const RETRY_WINDOW: Duration = Duration::from_secs(30);
/// What the end of streams, transport and store may take after the grace.
const STOP_BOUND: Duration = Duration::from_secs(5);
/// How often a ledger that is not ready is looked at again.
const READY_POLL: Duration = Duration::from_millis(500);

/// A running service.
#[derive(Debug)]
pub struct App {
    config: Config,
    addr: SocketAddr,
    sessions: Arc<Sessions>,
    tasks: Tasks,
    health: HealthReporter,
    /// Cancelled once the transport is to close.
    close: CancellationToken,
    /// Cancelled once background work is to end.
    background: CancellationToken,
    transport: JoinHandle<Result<(), tonic::transport::Error>>,
    meters: Meters,
    admin_addr: Option<SocketAddr>,
}

/// Why the service did not start or broke off.
#[derive(Debug, Error)]
pub enum AppError {
    /// The address cannot be served.
    #[error("cannot listen on {addr}")]
    Listen {
        /// As configured.
        addr: SocketAddr,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The database cannot be used.
    #[error("the database cannot be used: {message}")]
    Database {
        /// For a person.
        message: String,
    },
    /// The transport broke off.
    #[error("the gRPC transport failed")]
    Transport(#[from] tonic::transport::Error),
    /// A file that the configuration names cannot be used.
    #[error("{key}: {message}")]
    File {
        /// The key.
        key: &'static str,
        /// Which file, and why.
        message: String,
    },
    /// Metrics cannot be set up.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
}

/// Connects to the configured database.
pub async fn open_store(config: &Config) -> Result<Arc<dyn Store>, AppError> {
    let url = config.database_url.expose().to_owned();
    let allow = |schema: &str| AllowList::new(config.tables.clone(), schema);
    let server = config.server_name.clone();
    let store: Result<Arc<dyn Store>, StoreError> = match config.database_url.kind() {
        DatabaseKind::Postgres => PgStore::connect(PgConfig {
            url,
            allow: allow("public"),
            writers_total: config.writers_max,
            writers_per_import: config.writers_per_import,
            control_timeout: CONTROL_TIMEOUT,
            lease: LEASE,
            server,
            pooled: config.database_pooled,
            copying: config.copying,
            copy_detected: config.copy_detected,
            retention: retention(config),
        })
        .await
        .map(|store| Arc::new(store) as Arc<dyn Store>),
        DatabaseKind::Sqlite => SqliteStore::connect(SqliteConfig {
            url,
            allow: allow("main"),
            server,
            lease: LEASE,
            control_timeout: CONTROL_TIMEOUT,
            retention: retention(config),
            cache_bytes: SQLITE_CACHE_BYTES_MAX.min(config.bytes_in_flight_max / 2),
        })
        .await
        .map(|store| Arc::new(store) as Arc<dyn Store>),
    };
    store.map_err(database_error)
}

fn retention(config: &Config) -> Retention {
    Retention {
        ids: config.id_retention,
        rejects: config.reject_retention,
    }
}

fn database_error(error: StoreError) -> AppError {
    let Failure { message, .. } = ending::failure_of(error);
    AppError::Database { message }
}

impl App {
    /// Connects, listens and serves. SQLite is migrated; PostgreSQL is not served until it is.
    pub async fn start(config: Config) -> Result<App, AppError> {
        let meters = Meters::new(&config.otel)?;
        let store = open_store(&config).await?;
        if config.database_url.kind() == DatabaseKind::Sqlite {
            store.migrate().await.map_err(database_error)?;
        }
        let (listener, addr) = listen(config.listen).await?;
        let tasks = Tasks::new();
        let (tables, table_limits) = secured::tables(&config)?;
        let metrics = Metrics::new(&meters.provider);
        let sessions = Arc::new(sessions(&config, store, metrics, tables));
        let background = CancellationToken::new();
        let admin_addr = observe::begin(&config, &meters, &sessions, background.clone()).await?;
        let (health, health_service) = tonic_health::server::health_reporter();
        set_health(&health, ServingStatus::NotServing).await;
        let close = CancellationToken::new();
        let secured = secured::Secured::open(&config, &sessions.store, table_limits)?;
        let lookups = LookupConfig {
            lookups_max: config.lookups_max,
            // One is left to imports.
            decoders_max: config.decoders_max.saturating_sub(1).max(1),
        };
        let service = Rowlift::new(
            Arc::clone(&sessions),
            tasks.clone(),
            lookups,
            config.message_bytes_max,
        );
        let server = Server::builder()
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(connection_window(&config))
            .max_concurrent_streams(CONCURRENT_STREAMS_MAX)
            .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
            .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
            .layer(TraceLayer::new(sessions.metrics.clone()))
            .layer(AuthLayer::new(secured.gate))
            .layer(OversizedLayer)
            .add_service(health_service)
            .add_service(reflection::v1())
            .add_service(reflection::v1alpha())
            .add_service(compressed(service, config.message_bytes_max));
        let closed = close.clone();
        // Not among the tasks: a stop waits for them first, for the transport last.
        let transport_tasks = Tasks::new();
        let closed = async move { closed.cancelled().await };
        let transport = match secured.tls {
            None => {
                let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
                transport_tasks.spawn(server.serve_with_incoming_shutdown(incoming, closed))
            }
            Some(tls) => {
                let incoming = tls::incoming(listener, tls);
                transport_tasks.spawn(server.serve_with_incoming_shutdown(incoming, closed))
            }
        };
        transport_tasks.spawn(watched::follow(secured.files, background.clone()));
        let beat = sessions
            .registry
            .clone()
            .beat(Arc::clone(&sessions.store), background.clone());
        transport_tasks.spawn(beat);
        transport_tasks.spawn(forget(Arc::clone(&sessions), background.clone()));
        transport_tasks.spawn(announce_ready(
            Arc::clone(&sessions),
            health.clone(),
            tasks.draining().clone(),
        ));
        info!(%addr, database = %config.database_url, "serving gRPC");
        Ok(App {
            config,
            addr,
            sessions,
            tasks,
            health,
            close,
            background,
            transport,
            meters,
            admin_addr,
        })
    }

    /// Where probes and metrics are served.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin_addr
    }

    /// All metrics, as a scraper reads them.
    pub fn metrics_text(&self) -> String {
        self.meters.text()
    }

    /// Where gRPC is served.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What a stop waits for; to be drained by signals.
    pub fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// Rows and ledger.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.sessions.store
    }

    /// Waits until the ledger is there and imports are admitted.
    pub async fn ready(&self) {
        self.sessions.admission.opened().await;
    }

    /// Serves until the tasks are asked to drain, then stops.
    pub async fn run(self) -> Result<(), AppError> {
        self.tasks.draining().cancelled().await;
        self.shut_down().await
    }

    /// Stops now.
    pub async fn stop(self) -> Result<(), AppError> {
        self.tasks.drain();
        self.shut_down().await
    }

    async fn shut_down(mut self) -> Result<(), AppError> {
        self.sessions.admission.close();
        set_health(&self.health, ServingStatus::NotServing).await;
        tokio::time::sleep(self.config.lame_duck).await;
        self.sessions.draining.cancel();
        let all_ended = self.tasks.wait(self.config.drain_grace).await;
        // Watches are no tasks, and would hold the transport open.
        self.sessions.drained.cancel();
        if !all_ended {
            self.tasks.wait(STOP_BOUND).await;
        }
        // Health watchers would hold the transport open.
        self.health.clear_service_status("").await;
        self.health.clear_service_status(SERVICE).await;
        self.close.cancel();
        let result = match tokio::time::timeout(STOP_BOUND, &mut self.transport).await {
            Ok(Ok(result)) => result.map_err(AppError::from),
            Ok(Err(error)) => {
                warn!(%error, "the transport's task was lost");
                Ok(())
            }
            Err(_) => {
                warn!("connections were still open at the end of the stop");
                self.transport.abort();
                Ok(())
            }
        };
        self.background.cancel();
        self.sessions.store.close(STOP_BOUND).await;
        self.meters.shut_down(STOP_BOUND).await;
        info!("stopped");
        result
    }
}

/// The service as it takes and sends messages.
fn compressed(service: Rowlift, message_bytes_max: usize) -> ImportServiceServer<Rowlift> {
    ImportServiceServer::new(service)
        .max_decoding_message_size(message_bytes_max)
        .accept_compressed(CompressionEncoding::Gzip)
        .accept_compressed(CompressionEncoding::Zstd)
        .send_compressed(CompressionEncoding::Gzip)
        .send_compressed(CompressionEncoding::Zstd)
}

/// A listener and where it listens.
async fn listen(addr: SocketAddr) -> Result<(TcpListener, SocketAddr), AppError> {
    let bound = async {
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        Ok((listener, addr))
    };
    bound
        .await
        .map_err(|source| AppError::Listen { addr, source })
}

/// Receive window of a connection: with every admitted import and lookup held back on one
/// connection (a mesh has one to each replica), cancel and health still get through.
fn connection_window(config: &Config) -> u32 {
    let imports = config.imports_max.saturating_add(config.imports_queue_max);
    let admitted = imports.saturating_add(config.lookups_max);
    let streams = u32::try_from(admitted)
        .unwrap_or(u32::MAX)
        .saturating_add(SPARE_STREAMS);
    streams
        .saturating_mul(STREAM_WINDOW_BYTES)
        .min((1 << 31) - 1)
}

fn sessions(config: &Config, store: Arc<dyn Store>, metrics: Metrics, tables: Tables) -> Sessions {
    let bytes_in_flight_max = usize::try_from(config.bytes_in_flight_max).unwrap_or(usize::MAX);
    let session_config = SessionConfig {
        imports_max: config.imports_max,
        queue_wait: config.queue_wait,
        header_timeout: config.header_timeout,
        idle_timeout: config.idle_timeout,
        rejected_rows_max: config.rejected_rows_max,
        bytes_in_flight_max,
        batches: BatchLimits {
            rows_first: config.batch_rows_first,
            rows_max: config.batch_rows_max,
            bytes_max: config.batch_bytes_max,
        },
        retry: RetryPolicy {
            window: RETRY_WINDOW,
        },
        limits: config.limits.clone(),
        decoder_program: config.decoder_program.clone(),
        spool_dir: SpoolDir::new(config.spool_dir.as_path(), config.spool_bytes_max),
        drain_grace: config.drain_grace,
        progress_interval: config.progress_interval,
        max_ack_delay: config.max_ack_delay,
        server: config.server_name.clone(),
        settings_allowed: config.settings_allowed.clone(),
        id_retention: config.id_retention,
    };
    Sessions {
        metrics,
        admission: Admission::new(config.imports_max, config.imports_queue_max),
        registry: Registry::default(),
        writers: WriterPool::new(store.writers().total),
        tables,
        memory: Memory::new(bytes_in_flight_max),
        decoders: Arc::new(Semaphore::new(config.decoders_max)),
        draining: CancellationToken::new(),
        drained: CancellationToken::new(),
        config: session_config,
        store,
    }
}

/// Forgets what has expired, once the ledger is there, until `stop`.
async fn forget(sessions: Arc<Sessions>, stop: CancellationToken) {
    tokio::select! {
        // Nothing is lost: there is nothing to forget in a ledger that is not there.
        () = stop.cancelled() => return,
        () = sessions.admission.opened() => {}
    }
    purge::run(Arc::clone(&sessions.store), stop).await;
}

/// Health follows the ledger: SERVING once it is there and new enough.
async fn announce_ready(sessions: Arc<Sessions>, health: HealthReporter, stop: CancellationToken) {
    let mut told = false;
    loop {
        let ready = sessions.store.ready().await;
        sessions.admission.note_database(ready.is_ok());
        match ready {
            Ok(true) => break,
            Ok(false) if !told => {
                told = true;
                warn!("the ledger is missing or too old: run `rowlift migrate`");
            }
            Ok(false) => {}
            Err(error) => warn!(%error, "the database is not ready"),
        }
        tokio::select! {
            // Nothing is lost: there is no state between two looks.
            () = stop.cancelled() => return,
            () = tokio::time::sleep(READY_POLL) => {}
        }
    }
    sessions.admission.open();
    set_health(&health, ServingStatus::Serving).await;
    if stop.is_cancelled() {
        // The stop has said so already, perhaps just before.
        set_health(&health, ServingStatus::NotServing).await;
    }
}

async fn set_health(health: &HealthReporter, status: ServingStatus) {
    health.set_service_status("", status).await;
    health.set_service_status(SERVICE, status).await;
}

//! Past the ledger: BEGIN, COPY and COMMIT a batch, and nothing else.
//!
//! In: batches. Out: how many rows the table took. The COPYs are those that the store sends, byte
//! for byte, over as many connections, pooled in the same way.

use std::error::Error;
use std::sync::Arc;

use rowlift::config::database_url::DatabaseUrl;
use rowlift::model::batch::Batch;
use rowlift::model::plan::WritePlan;
use rowlift::store::copying::CopyFormat;
use rowlift::store::postgres::copy::CopyData;
use sqlx::Executor;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

/// Connections that know of no import.
#[derive(Debug)]
pub(super) struct Bare {
    pool: PgPool,
    plan: Arc<WritePlan>,
}

impl Bare {
    pub(super) fn new(
        url: &DatabaseUrl,
        plan: Arc<WritePlan>,
        n_connections: usize,
    ) -> Result<Bare, Box<dyn Error>> {
        let options: PgConnectOptions = url.expose().parse()?;
        let options = options.extra_float_digits(None).statement_cache_capacity(0);
        let pool = PgPoolOptions::new()
            .max_connections(u32::try_from(n_connections)?)
            .connect_lazy_with(options);
        Ok(Bare { pool, plan })
    }

    /// Writes a batch; how many rows the table took.
    pub(super) async fn write(self: Arc<Bare>, batch: Batch) -> Result<u64, sqlx::Error> {
        let mut connection = self.pool.acquire().await?;
        connection.execute(sqlx::raw_sql("BEGIN")).await?;
        let mut n_rows = 0;
        for mut data in CopyData::of_batch(&self.plan, &batch, CopyFormat::Binary) {
            let mut copy = connection.copy_in_raw(data.sql()).await?;
            while let Some(piece) = data.next_piece() {
                copy.send(piece).await?;
            }
            n_rows += copy.finish().await?;
        }
        connection.execute(sqlx::raw_sql("COMMIT")).await?;
        Ok(n_rows)
    }
}

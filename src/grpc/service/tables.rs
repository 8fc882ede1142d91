//! What can be imported into, and what this server is.
//!
//! In: requests of the contract. Out: the catalogue of the tables on the allow-list, limits and
//! features.

use crate::access::Caller;
use crate::grpc::convert;
use crate::grpc::header::FEATURES;
use crate::grpc::paging::{after, page_size, token};
use crate::grpc::service::Rowlift;
use crate::model::import::{Failure, FileFormat, Reason};
use crate::proto;
use crate::session::ending;

impl Rowlift {
    pub(super) async fn list_tables(
        &self,
        caller: &Caller,
        request: proto::ListTablesRequest,
    ) -> Result<proto::ListTablesResponse, Failure> {
        let size = page_size(request.page_size)? as usize;
        let query = format!("tables {:?}", request.schema);
        let start = after(&request.page_token, &query)?.unwrap_or(0);
        let tables = self
            .sessions
            .store
            .tables()
            .await
            .map_err(ending::failure_of)?;
        let schema = request.schema;
        let visible = tables
            .iter()
            .filter(|it| schema.is_empty() || it.name.schema == schema)
            .filter_map(|table| caller.view(table));
        let visible: Vec<_> = visible.collect();
        let start = usize::try_from(start)
            .unwrap_or(usize::MAX)
            .min(visible.len());
        let end = visible.len().min(start + size);
        let next_page_token = if end < visible.len() {
            token(end as u64, &query)
        } else {
            String::new()
        };
        let tables = visible[start..end]
            .iter()
            .map(|table| convert::table(table))
            .collect();
        Ok(proto::ListTablesResponse {
            tables,
            next_page_token,
        })
    }

    pub(super) async fn table(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<proto::GetTableResponse, Failure> {
        let table = self
            .sessions
            .store
            .table(name)
            .await
            .map_err(ending::failure_of)?;
        let table = table.and_then(|table| caller.view(&table));
        let table = table.ok_or_else(|| {
            let message = format!("table {name:?} does not exist or is not on the allow-list");
            Failure::new(Reason::TableNotFound, message).with("table", name)
        })?;
        Ok(proto::GetTableResponse {
            table: Some(convert::table(&table)),
        })
    }

    pub(super) fn server_info(&self) -> proto::GetServerInfoResponse {
        let config = &self.sessions.config;
        let limits = &config.limits;
        proto::GetServerInfoResponse {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            formats: FileFormat::ALL
                .iter()
                .map(|format| i32::from(format.number()))
                .collect(),
            max_message_bytes: i32::try_from(self.message_bytes_max).unwrap_or(i32::MAX),
            max_file_bytes: convert::count(limits.workbook_bytes_max),
            max_row_count: convert::count(limits.sheet_rows_max),
            draining: self.sessions.admission.is_closed(),
            features: FEATURES.iter().map(|&feature| feature.to_owned()).collect(),
            max_rejected_row_count: convert::count(config.rejected_rows_max),
            limitations: crate::decode::LIMITATIONS
                .iter()
                .map(|&it| it.to_owned())
                .collect(),
            max_csv_bytes: convert::count(limits.csv_bytes_max),
        }
    }
}

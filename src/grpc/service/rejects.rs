//! Rejected rows from the ledger, bounded in rows and bytes.
//!
//! In: an import and where to begin. Out: rows in source order, as many as one message may hold.

use prost::Message as _;

use crate::grpc::convert;
use crate::grpc::header::number;
use crate::grpc::paging::{after, page_size, token};
use crate::grpc::service::Rowlift;
use crate::grpc::service::imports::{named_import, unknown_import};
use crate::model::import::Failure;
use crate::model::reject::RowErrorCode;
use crate::proto;
use crate::session::ending;
use crate::store::Store;

/// Rejected rows that are read from the ledger at once.
const PIECE_ROWS: u32 = 100;
/// Rejected rows of one message at most, bytes, unless the first row alone is larger: clients take
/// 4 MiB unless told otherwise.
pub(in crate::grpc) const PAGE_BYTES_MAX: usize = 2 << 20;

/// Rejected rows of an import, by ordinal.
#[derive(Debug, Default)]
pub(in crate::grpc) struct Page {
    /// As many as were asked for and fit.
    pub(in crate::grpc) rows: Vec<proto::RejectedRow>,
    /// All rows that the filter lets through.
    pub(in crate::grpc) total: u64,
    /// The ordinal after which the next page begins; `None`: this is the last one.
    pub(in crate::grpc) next: Option<u64>,
}

/// Rejected rows after `after`, at most `size` of them.
pub(in crate::grpc) async fn page(
    store: &dyn Store,
    owner: &str,
    id: &str,
    code: Option<RowErrorCode>,
    after: Option<u64>,
    size: u32,
) -> Result<Page, Failure> {
    let mut page = Page::default();
    let mut n_bytes = 0;
    let mut last = after;
    // In small pieces: a row may hold megabytes, and a page has a bound in bytes too.
    loop {
        let left = size.saturating_sub(u32::try_from(page.rows.len()).unwrap_or(size));
        let limit = left.min(PIECE_ROWS);
        let piece = store.rejected_rows(owner, id, code, last, limit).await;
        let piece = piece
            .map_err(ending::failure_of)?
            .ok_or_else(|| unknown_import(id))?;
        page.total = piece.total;
        for row in piece.rows {
            let ordinal = row.ordinal;
            let row = convert::rejected_row(row);
            n_bytes += row.encoded_len();
            if n_bytes > PAGE_BYTES_MAX && !page.rows.is_empty() {
                page.next = last;
                return Ok(page);
            }
            page.rows.push(row);
            last = Some(ordinal);
        }
        if !piece.more {
            return Ok(page);
        }
        if page.rows.len() >= size as usize {
            page.next = last;
            return Ok(page);
        }
    }
}

impl Rowlift {
    pub(super) async fn rejected_rows(
        &self,
        owner: &str,
        request: proto::ListRejectedRowsRequest,
    ) -> Result<proto::ListRejectedRowsResponse, Failure> {
        let id = named_import(&request.import_id)?;
        self.check_tenant(owner, &id, request.tenant).await?;
        let size = page_size(request.page_size)?;
        let code = number::<proto::RowErrorCode>("code", request.code)?;
        let query = format!("rejects {owner:?} {id:?} {code:?}");
        let after = after(&request.page_token, &query)?;
        let code = u8::try_from(i32::from(code))
            .ok()
            .and_then(RowErrorCode::from_number);
        let page = page(&*self.sessions.store, owner, &id, code, after, size).await?;
        Ok(proto::ListRejectedRowsResponse {
            rejected_rows: page.rows,
            next_page_token: page
                .next
                .map(|last| token(last, &query))
                .unwrap_or_default(),
            total_size: convert::count(page.total),
        })
    }
}

//! The contract's service over the session and the store.
//!
//! In: protobuf messages and metadata. Out: protobuf messages and statuses. `tonic` and `prost`
//! types stop here; every status is made in [`status`].

pub mod auth;
pub mod convert;
pub mod deadline;
pub mod export;
pub mod files;
pub mod header;
pub mod import_rows;
pub mod messages;
pub mod oversized;
pub mod paging;
pub mod rows;
pub mod service;
pub mod status;
pub mod trace;
pub mod watch;

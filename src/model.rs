//! The words of the design as types: what travels from a decoder to the database and back.
//!
//! Nothing here does IO, knows a protocol or an engine, or waits. Reading order is the order in
//! which data flows: [`cell`] and [`frame`] (a source's rows as read), [`table`] (the target as
//! the catalogue describes it), [`plan`] (which source feeds which column), [`value`] (typed
//! rows), [`batch`] (rows that commit together), [`keys`] (by which rows of different batches may
//! meet), [`reject`] (rows that are not in the table, and why), [`stats`] (the conservation law),
//! [`import`] (an import's life).

pub mod batch;
pub mod cell;
pub mod frame;
pub mod guard;
pub mod import;
pub mod keys;
pub mod layout;
pub mod plan;
pub mod reject;
pub mod serial;
pub mod stats;
pub mod table;
pub mod value;

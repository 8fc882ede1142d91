//! What integration tests share: databases of their own, and a service in process.

pub(crate) mod postgres;
pub(crate) mod service;
pub(crate) mod sqlite;

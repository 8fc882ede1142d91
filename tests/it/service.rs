//! The service from outside: what a caller sees, over real loopback gRPC.

mod admin;
mod allocator;
mod duplicates;
mod endings;
mod exports;
mod files;
mod fixtures;
mod identity;
mod forgetting;
mod http2;
mod import_rows;
mod limits;
mod postgres;
mod rows;
mod spool;
mod resuming;
mod stops;
mod telemetry;
mod tenants;
mod watch;

/// A table with one of each constraint.
const PEOPLE: &str = "create table people (
    id integer primary key,
    name text not null,
    email text unique,
    age integer check (age >= 0)
)";

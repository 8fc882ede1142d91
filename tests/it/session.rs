//! Sessions against a store that fails at every call: whatever dies, and whenever, the rows are
//! in the table once and the counts add up.

mod driver;
mod everywhere;
mod memory;
mod random;
mod whole_store;

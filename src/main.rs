//! The `rowlift` binary.

fn main() {}

//! The `dubito` command line.
fn main() {}

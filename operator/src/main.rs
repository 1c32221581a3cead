//! placeholder until the first commit
fn main() {}

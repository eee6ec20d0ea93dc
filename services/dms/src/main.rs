//! The dms consumer.
fn main() {}

//! The comments consumer.
fn main() {}

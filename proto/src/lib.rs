//! The contracts on the wire, generated from the .proto files beside it.

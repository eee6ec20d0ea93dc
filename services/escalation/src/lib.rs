//! The review queue: escalations in from Kafka, cases to people over gRPC, decisions back to Kafka.

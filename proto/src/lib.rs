//! The contracts on the wire, generated from the .proto files beside it.
//!
//! [`decode_event`] reads Protobuf events for [`tidegate_core::decode`], which knows no generated
//! type; [`encode_verdict`], [`encode_routed`] and [`encode_escalation`] write what the core
//! concludes.

mod read;
mod write;

pub use read::decode_event;
pub use write::{encode_escalation, encode_event, encode_routed, encode_verdict};

/// Events, and what is written about them.
pub mod events {
    /// `tidegate.events.v1`.
    pub mod v1 {
        use std::fmt;

        include!(concat!(env!("OUT_DIR"), "/tidegate.events.v1.rs"));

        /// Shows neither text nor author, so that no log line can.
        impl fmt::Debug for Event {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct("Event")
                    .field("id", &self.id)
                    .finish_non_exhaustive()
            }
        }

        /// Shows no name, so that no log line can.
        impl fmt::Debug for Author {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct("Author").finish_non_exhaustive()
            }
        }
    }
}

/// The review queue.
#[cfg(feature = "grpc")]
pub mod escalation {
    /// `tidegate.escalation.v1`, with clients and servers.
    pub mod v1 {
        use std::fmt;

        include!(concat!(env!("OUT_DIR"), "/tidegate.escalation.v1.rs"));

        /// What server reflection answers from: a `google.protobuf.FileDescriptorSet`.
        pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/escalation.bin"));

        /// Shows the type alone: texts, names and tokens must not reach a log line by way of `{:?}`.
        macro_rules! shows_nothing {
            ($($name:ident)*) => {$(
                impl fmt::Debug for $name {
                    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.debug_struct(stringify!($name)).finish_non_exhaustive()
                    }
                }
            )*};
        }

        shows_nothing! {
            CaseEvent Decision Note Hold Appeal Resolution AuditEntry Subject CreateCaseRequest
            ReleaseCaseRequest HoldCaseRequest AssignCaseRequest AddNoteRequest ResolveCaseRequest
            OpenAppealRequest DecideAppealRequest RotateTokenResponse
        }
    }
}

//! Identifiers: types of their own where mixing two would go unnoticed.

use std::{borrow::Cow, fmt};

use serde::Serialize;
use sha1::{Digest, Sha1};
use uuid::Uuid;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name<'a>(pub Cow<'a, str>);

        impl $name<'_> {
            /// The id as it came.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'a> From<&'a str> for $name<'a> {
            fn from(id: &'a str) -> Self {
                Self(Cow::Borrowed(id))
            }
        }

        impl From<String> for $name<'_> {
            fn from(id: String) -> Self {
                Self(Cow::Owned(id))
            }
        }
    };
}

id! {
    /// The platform's name for one comment or message.
    EventId
}

id! {
    /// The brand that a message was written to.
    BrandId
}

/// Where a record was read: enough to name it for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Source<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition's number.
    pub partition: i32,
    /// The record's offset in the partition.
    pub offset: i64,
}

/// The id of what was concluded from one record under one policy. The same record and policy give
/// the same id, so that a reader outside the transaction can drop duplicates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct OutputId(pub Uuid);

impl OutputId {
    /// The namespace of these ids, itself a fixed random UUID.
    const NAMESPACE: Uuid = Uuid::from_u128(0x8f1d_5b0e_6c0b_4a5e_9d57_2a3c_71e4_b906);

    /// UUIDv5 of topic, partition, offset and policy version.
    #[must_use]
    pub fn new(source: Source<'_>, policy_version: &str) -> Self {
        // Zero bytes part the fields: neither a topic nor a number can hold one.
        let mut number = itoa::Buffer::new();
        let mut hash = Sha1::new_with_prefix(Self::NAMESPACE);
        hash.update(source.topic);
        hash.update([0]);
        hash.update(number.format(source.partition));
        hash.update([0]);
        hash.update(number.format(source.offset));
        hash.update([0]);
        hash.update(policy_version);
        let digest: [u8; 20] = hash.finalize().into();
        let [first @ .., _, _, _, _] = digest;
        Self(uuid::Builder::from_sha1_bytes(first).into_uuid())
    }
}

impl fmt::Display for OutputId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: Source<'_> = Source {
        topic: "comments.v1",
        partition: 3,
        offset: 41,
    };

    #[test]
    fn the_same_record_and_policy_give_the_same_id_for_ever() {
        let id = OutputId::new(SOURCE, "default-1");
        assert_eq!(id, OutputId::new(SOURCE, "default-1"));
        assert_eq!(id.0.get_version_num(), 5);
        // Written down: a change of this value breaks every reader that drops duplicates.
        assert_eq!(id.to_string(), "705ba7ac-fc86-589f-acd7-debc8121349f");
    }

    #[test]
    fn another_topic_partition_offset_or_policy_gives_another_id() {
        let ids = [
            OutputId::new(SOURCE, "p"),
            OutputId::new(
                Source {
                    topic: "dms.v1",
                    ..SOURCE
                },
                "p",
            ),
            OutputId::new(
                Source {
                    partition: 34,
                    offset: 1,
                    ..SOURCE
                },
                "p",
            ),
            OutputId::new(
                Source {
                    offset: 42,
                    ..SOURCE
                },
                "p",
            ),
            OutputId::new(SOURCE, "q"),
        ];
        let distinct: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }
}

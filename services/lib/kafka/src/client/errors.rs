//! What an error of the client means for a lane, and what a person can do about it.

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::transport::{Failure, FailureKind};

/// What to do about an error that no retry repairs; `None` for any other error.
pub(crate) fn advice(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::TopicAuthorizationFailed => {
            "grant this user Read and Describe on the input topics, Write and Describe on the \
             output topics"
        }
        Code::GroupAuthorizationFailed => "grant this user Read on the consumer group",
        Code::TransactionalIdAuthorizationFailed => {
            "grant this user Write and Describe on the transactional-id prefix"
        }
        Code::ClusterAuthorizationFailed => "grant this user IdempotentWrite on the cluster",
        Code::Authentication | Code::SaslAuthenticationFailed => {
            "check security.username, the password or token, and security.mechanism"
        }
        Code::UnsupportedSASLMechanism | Code::IllegalSASLState => {
            "set security.mechanism to one that the brokers offer"
        }
        Code::SSL => {
            "check security.ca_file, the client certificate, and that the brokers' port speaks TLS"
        }
        Code::FencedInstanceId => {
            "another process runs under the same `instance` name; give each its own"
        }
        Code::InvalidTransactionTimeout => {
            "set transaction_timeout_ms to no more than the brokers' transaction.max.timeout.ms"
        }
        Code::InvalidSessionTimeout => {
            "set session_timeout_ms to what the brokers' group.*.session.timeout.ms allow"
        }
        Code::InconsistentGroupProtocol => {
            "other members of the group use another assignor; stop them, or use another group_id"
        }
        Code::InvalidGroupId => "set another group_id",
        Code::UnsupportedVersion | Code::UnsupportedFeature => {
            "the brokers are too old for this; exactly-once needs 2.5 or later"
        }
        Code::MessageSizeTooLarge => "raise `max.message.bytes` of the output topic",
        Code::InvalidTopic => "set another topic name",
        _ => return None,
    })
}

/// What to do about a missing topic, which may yet be created.
pub(crate) const CREATE_TOPIC: &str = "create it, or correct its name in the settings";

/// Whether `code` says that a topic does not exist.
pub(crate) fn is_missing_topic(code: Code) -> bool {
    matches!(
        code,
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition
    )
}

/// Whether another producer has taken this one's transactional id.
fn is_fenced(code: Code) -> bool {
    matches!(
        code,
        Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch
    )
}

/// Whether the broker refused to talk to this user at all.
pub(crate) fn is_authentication(code: Code) -> bool {
    matches!(
        code,
        Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState
            | Code::SSL
    )
}

/// A failure that ends the process, with advice.
pub(crate) fn stop(action: &'static str, what: &str, advice: &str) -> Failure {
    Failure {
        kind: FailureKind::Stop,
        action,
        reason: format!("{what}: {advice}"),
    }
}

/// A record that its topic does not take. Leaving it out would lose it silently, and writing less
/// of it would lose what was left out once the input topic forgets it; so the lane ends.
pub(crate) fn too_large(action: &'static str, topic: &str, bytes: usize) -> Failure {
    let what = format!("a record of {bytes} bytes is more than the topic {topic} takes");
    let advice = "raise its `max.message.bytes` (and `message.max.bytes` under [kafka.producer] if \
                  that was lowered) and start again; nothing is lost";
    stop(action, &what, advice)
}

/// A failure of any other kind.
pub(crate) fn failure(
    kind: FailureKind,
    action: &'static str,
    reason: impl Into<String>,
) -> Failure {
    Failure {
        kind,
        action,
        reason: reason.into(),
    }
}

/// What an error of the transactional API leaves to do.
///
/// Authorization comes first: librdkafka reports most of it as fatal, and a new producer would
/// only be refused again.
pub(crate) fn transaction_failure(action: &'static str, error: &KafkaError) -> Failure {
    let KafkaError::Transaction(native) = error else {
        return match error.rdkafka_error_code() {
            Some(code) => code_failure(action, code, FailureKind::Rebuild),
            None => failure(FailureKind::Rebuild, action, error.to_string()),
        };
    };
    let code = native.code();
    let mut reason = format!("{} ({code:?})", native.string());
    if is_fenced(code) {
        // Once is a restart or a slow lane; two processes would go on fencing each other.
        reason.push_str("; if this repeats, another process has the same `instance` name");
    }
    if let Some(advice) = advice(code) {
        return stop(action, &reason, advice);
    }
    let kind = if native.is_fatal() {
        FailureKind::Rebuild
    } else if native.txn_requires_abort() {
        FailureKind::Abort
    } else if native.is_retriable() {
        FailureKind::Retry
    } else {
        FailureKind::Rebuild
    };
    failure(kind, action, reason)
}

/// What a bare error code leaves to do: stop where there is advice, else `otherwise`.
pub(crate) fn code_failure(action: &'static str, code: Code, otherwise: FailureKind) -> Failure {
    match advice(code) {
        Some(advice) => stop(action, &code.to_string(), advice),
        None => failure(otherwise, action, code.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_retry_repairs_stops_with_advice_and_anything_else_does_as_it_was_told() {
        let denied = code_failure("send", Code::TopicAuthorizationFailed, FailureKind::Abort);
        assert_eq!(denied.kind, FailureKind::Stop);
        assert!(denied.reason.contains("grant this user"), "{denied}");
        assert!(!denied.reason.contains('\n'), "{denied}");

        let lost = code_failure("send", Code::MessageTimedOut, FailureKind::Abort);
        assert_eq!(lost.kind, FailureKind::Abort);
    }

    #[test]
    fn every_refusal_of_a_user_has_advice() {
        for code in [
            Code::Authentication,
            Code::SaslAuthenticationFailed,
            Code::UnsupportedSASLMechanism,
            Code::IllegalSASLState,
            Code::SSL,
        ] {
            assert!(is_authentication(code) && advice(code).is_some(), "{code}");
        }
    }
}

//! Settings of this crate to settings of librdkafka.

use rdkafka::{ClientConfig, config::RDKafkaLogLevel};

use crate::settings::{Delivery, GroupProtocol, KafkaSettings, Mechanism};

/// What both clients share. Fails with a message when the password's file can't be read.
pub(crate) fn common(settings: &KafkaSettings) -> Result<ClientConfig, String> {
    let mut config = ClientConfig::new();
    config.set_log_level(log_level());
    config
        .set("bootstrap.servers", &settings.brokers)
        .set("client.id", &settings.group_id)
        // A broker that is away is asked again soon, and not by all lanes at the same moment.
        .set("reconnect.backoff.ms", "100")
        .set("reconnect.backoff.max.ms", "5000")
        .set("socket.keepalive.enable", "true")
        .set(
            "statistics.interval.ms",
            settings.statistics_interval_ms.to_string(),
        );

    let security = &settings.security;
    config.set("security.protocol", security.protocol.as_str());
    let files = [
        ("ssl.ca.location", &security.ca_file),
        ("ssl.certificate.location", &security.certificate_file),
        ("ssl.key.location", &security.key_file),
    ];
    for (name, file) in files {
        if let Some(file) = file {
            config.set(name, file.to_string_lossy());
        }
    }
    if let Some(password) = &security.key_password {
        config.set("ssl.key.password", password.reveal());
    }
    if let Some(mechanism) = security.mechanism
        && security.protocol.has_sasl()
    {
        config.set("sasl.mechanism", mechanism.as_str());
        if mechanism != Mechanism::OauthBearer {
            config.set(
                "sasl.username",
                security.username.as_deref().unwrap_or_default(),
            );
            if let Some(password) = security.read_password()? {
                config.set("sasl.password", password.reveal());
            }
        }
    }
    extend(&mut config, &settings.client.0);
    Ok(config)
}

/// The consumer of one lane.
pub(crate) fn consumer(settings: &KafkaSettings, lane: usize) -> Result<ClientConfig, String> {
    let mut config = common(settings)?;
    config
        .set("group.id", &settings.group_id)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("isolation.level", "read_committed")
        .set("auto.offset.reset", "earliest")
        // By default a partition that filled its queue rests for a whole second.
        .set("fetch.queue.backoff.ms", "20")
        // Counted before decompression, for each lane.
        .set("queued.max.messages.kbytes", "16384")
        .set("queued.min.messages", "20000")
        .set("fetch.wait.max.ms", "100");
    match settings.group_protocol {
        GroupProtocol::Classic => config
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set(
                "session.timeout.ms",
                settings.session_timeout_ms.to_string(),
            )
            .set(
                "heartbeat.interval.ms",
                (settings.session_timeout_ms / 15)
                    .clamp(100, 3_000)
                    .to_string(),
            ),
        // Session and assignor belong to the broker there; naming them fails the client.
        GroupProtocol::Consumer => config.set("group.protocol", "consumer"),
    };
    if settings.static_membership {
        config.set("group.instance.id", settings.lane_id(lane));
    }
    extend(&mut config, &settings.consumer.0);
    Ok(config)
}

/// The producer of one lane.
pub(crate) fn producer(settings: &KafkaSettings, lane: usize) -> Result<ClientConfig, String> {
    let mut config = common(settings)?;
    config
        .set("enable.idempotence", "true")
        // A record that was written is freed inside the client, without an event for each.
        .set("delivery.report.only.error", "true")
        .set("linger.ms", settings.linger_ms.to_string())
        .set("compression.type", &settings.compression)
        // Whatever could be read can be written again: the client counts bytes before compression,
        // the brokers after it, so its default of 1 MB would refuse what they let through.
        .set("message.max.bytes", "100000000")
        // Java's partitioner: a conversation is in the same partition whoever wrote it.
        .set("partitioner", "murmur2_random")
        // Keys keep their order; records without one are spread evenly.
        .set("sticky.partitioning.linger.ms", "10");
    if settings.delivery == Delivery::ExactlyOnce {
        config.set("transactional.id", settings.lane_id(lane)).set(
            "transaction.timeout.ms",
            settings.transaction_timeout_ms.to_string(),
        );
    }
    extend(&mut config, &settings.producer.0);
    Ok(config)
}

fn extend(config: &mut ClientConfig, raw: &std::collections::BTreeMap<String, String>) {
    for (name, value) in raw {
        config.set(name, value);
    }
}

/// As much as the process's own log filter lets through.
fn log_level() -> RDKafkaLogLevel {
    if tracing::enabled!(target: "librdkafka", tracing::Level::DEBUG) {
        RDKafkaLogLevel::Debug
    } else if tracing::enabled!(target: "librdkafka", tracing::Level::INFO) {
        RDKafkaLogLevel::Info
    } else {
        RDKafkaLogLevel::Warning
    }
}

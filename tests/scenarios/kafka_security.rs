//! Who a lane is on a real broker, and what it is told when it is refused.

use std::{
    process::ExitCode,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{bail, ensure};
use base64::Engine as _;
use tidegate_kafka::{
    Batch, Failure, FailureKind, Outbox, Polled, Transport,
    client::KafkaTransport,
    settings::{KafkaSettings, Mechanism, Protocol, Secret, Security},
};
use tidegate_tests::{Isolation, Listener, Part, RealKafka, StartError, Suite, Topics};

fn main() -> ExitCode {
    let kafka = Part::new(start);
    let status = Suite::default()
        .case(
            "a_user_with_password_and_rights_reads_and_writes_over_tls",
            &kafka,
            sasl_tls,
        )
        .case(
            "each_mechanism_that_the_broker_offers_lets_a_user_in",
            &kafka,
            mechanisms,
        )
        .case(
            "a_token_out_of_a_file_lets_its_subject_in_until_it_expires",
            &kafka,
            tokens,
        )
        .case("a_wrong_password_stops_the_lane", &kafka, wrong_password)
        .case(
            "a_certificate_of_an_unknown_authority_stops_the_lane",
            &kafka,
            untrusted_certificate,
        )
        .case(
            "a_user_without_rights_on_the_input_stops_with_what_to_grant",
            &kafka,
            no_rights_on_topic,
        )
        .case(
            "a_user_without_rights_on_the_group_stops_with_what_to_grant",
            &kafka,
            no_rights_on_group,
        )
        .case(
            "a_user_without_rights_on_transactions_stops_with_what_to_grant",
            &kafka,
            no_rights_on_transactions,
        )
        .case(
            "a_user_without_rights_on_the_output_stops_with_what_to_grant",
            &kafka,
            no_rights_on_output,
        )
        .case(
            "a_lane_waits_for_a_topic_that_does_not_exist_yet",
            &kafka,
            missing_topic,
        )
        .run();
    drop(kafka);
    status
}

/// What the user may do, beside nothing.
#[derive(Clone, Copy)]
struct Rights {
    input: bool,
    group: bool,
    transactions: bool,
    output: bool,
}

const ALL: Rights = Rights {
    input: true,
    group: true,
    transactions: true,
    output: true,
};

struct Room {
    settings: KafkaSettings,
    output: String,
}

/// What the user may do is given once, to every name that begins with this.
const GRANTED: &str = "granted";
const DENIED: &str = "denied";

fn start() -> Result<RealKafka, StartError> {
    let kafka = RealKafka::start_secure()?;
    let prefixed = |kind| [kind, GRANTED, "--resource-pattern-type", "prefixed"];
    kafka.allow(&["Read", "Write", "Describe"], &prefixed("--topic"))?;
    kafka.allow(&["Read"], &prefixed("--group"))?;
    kafka.allow(&["Write", "Describe"], &prefixed("--transactional-id"))?;
    Ok(kafka)
}

/// Topics with one record of input, and names by which the user has these rights and no others.
fn room(kafka: &RealKafka, listener: Listener, rights: Rights) -> anyhow::Result<Room> {
    let prefix = |granted| if granted { GRANTED } else { DENIED };
    let input = kafka.create_topic(prefix(rights.input), 1)?;
    let output = kafka.create_topic(prefix(rights.output), 1)?;
    let group = kafka.name(prefix(rights.group));
    let transactions = kafka.name(prefix(rights.transactions));
    kafka.produce(&input, [(&b"k"[..], &b"v"[..])])?;
    let addresses = kafka.listener(listener)?;
    let mut settings = KafkaSettings::new(addresses, &group, [&input], &transactions, "a");
    settings.security = Security {
        protocol: match listener {
            Listener::Sasl => Protocol::SaslPlaintext,
            Listener::Tls => Protocol::Ssl,
            Listener::SaslTls => Protocol::SaslSsl,
        },
        ca_file: (listener != Listener::Sasl)
            .then(|| kafka.ca().map(Into::into))
            .transpose()?,
        ..Security::default()
    };
    if listener != Listener::Tls {
        settings.security.mechanism = Some(Mechanism::ScramSha512);
        settings.security.username = Some(RealKafka::USER.0.to_owned());
        settings.security.password = Some(Secret::new(RealKafka::USER.1));
    }
    Ok(Room { settings, output })
}

/// Copies the one record and commits, as a lane does.
fn copy_one(room: &Room) -> anyhow::Result<Result<(), Failure>> {
    let mut transport = KafkaTransport::connect(&room.settings, 0)?;
    let mut batch = Batch::default();
    let begin = Instant::now();
    while batch.is_empty() {
        ensure!(
            begin.elapsed() < Duration::from_secs(60),
            "neither a record nor a refusal; the client says {:?}",
            transport.handle().status()
        );
        match transport.poll(&mut batch, Duration::from_millis(100)) {
            Ok(Polled::Revoked { .. }) => bail!("partitions were revoked"),
            Ok(_) => {}
            Err(failure) if failure.kind == FailureKind::Retry => {}
            Err(failure) => return Ok(Err(failure)),
        }
    }
    let mut outbox = Outbox::new(vec![room.output.clone()]);
    let record = batch.get(0);
    let next = [(record.topic_partition(), record.offset.next())];
    let value = record
        .payload
        .map(|payload| |out: &mut Vec<u8>| out.extend_from_slice(payload));
    outbox.push(0, record.key, [], value);
    Ok(again(|| transport.begin())
        .and_then(|()| again(|| transport.send(&outbox)))
        .and_then(|()| again(|| transport.commit(&next))))
}

/// A call as a lane makes it: once more while the client asks for that.
fn again(mut call: impl FnMut() -> Result<(), Failure>) -> Result<(), Failure> {
    for _ in 0..10 {
        match call() {
            Err(failure) if failure.kind == FailureKind::Retry => {}
            other => return other,
        }
    }
    call()
}

fn assert_copied(kafka: &RealKafka, room: &Room) -> anyhow::Result<()> {
    copy_one(room)??;
    // A commit returns before the brokers have marked it in the partitions.
    let seen = kafka.read_until(
        &room.output,
        Isolation::Committed,
        Duration::from_secs(10),
        |seen| !seen.is_empty(),
    )?;
    assert_eq!(seen.len(), 1);
    Ok(())
}

/// The lane must stop, in one line that says what was refused and what to do, without a secret.
fn assert_stopped(room: &Room, says: &[&str]) -> anyhow::Result<()> {
    let Err(failure) = copy_one(room)? else {
        bail!("it was let in");
    };
    let text = failure.to_string();
    ensure!(
        failure.kind == FailureKind::Stop,
        "{:?}: {text}",
        failure.kind
    );
    ensure!(!text.contains('\n'), "more than one line: {text}");
    ensure!(!text.contains(RealKafka::USER.1), "it shows the password");
    for part in says {
        ensure!(text.contains(part), "it does not say {part:?}: {text}");
    }
    Ok(())
}

fn sasl_tls(kafka: &RealKafka) -> anyhow::Result<()> {
    assert_copied(kafka, &room(kafka, Listener::SaslTls, ALL)?)
}

fn mechanisms(kafka: &RealKafka) -> anyhow::Result<()> {
    for mechanism in [
        Mechanism::Plain,
        Mechanism::ScramSha256,
        Mechanism::ScramSha512,
    ] {
        let mut room = room(kafka, Listener::Sasl, ALL)?;
        room.settings.security.mechanism = Some(mechanism);
        assert_copied(kafka, &room)?;
    }
    Ok(())
}

fn tokens(kafka: &RealKafka) -> anyhow::Result<()> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let file = tempfile::NamedTempFile::new()?;
    let mut room = room(kafka, Listener::Sasl, ALL)?;
    room.settings.security = Security {
        protocol: Protocol::SaslPlaintext,
        mechanism: Some(Mechanism::OauthBearer),
        token_file: Some(file.path().to_owned()),
        ..Security::default()
    };
    let write = |ends_at| std::fs::write(file.path(), unsigned(RealKafka::USER.0, ends_at));
    write(now.as_secs() - 60)?;
    assert_stopped(&room, &["unexpired token", "check security.username"])?;
    write(now.as_secs() + 600)?;
    assert_copied(kafka, &room)
}

/// A JSON web token without a signature, for `subject` until `ends_at` (seconds since the epoch).
fn unsigned(subject: &str, ends_at: u64) -> String {
    let part = |json: String| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(json);
    let began_at = ends_at - 3_600;
    let claims = format!(r#"{{"sub":"{subject}","iat":{began_at},"exp":{ends_at}}}"#);
    format!("{}.{}.", part(r#"{"alg":"none"}"#.to_owned()), part(claims))
}

fn wrong_password(kafka: &RealKafka) -> anyhow::Result<()> {
    let mut room = room(kafka, Listener::Sasl, ALL)?;
    room.settings.security.password = Some(Secret::new("guessed"));
    assert_stopped(&room, &["check security.username"])
}

fn untrusted_certificate(kafka: &RealKafka) -> anyhow::Result<()> {
    let mut room = room(kafka, Listener::SaslTls, ALL)?;
    room.settings.security.ca_file = Some(kafka.other_ca()?);
    assert_stopped(&room, &["check security.ca_file"])
}

fn no_rights_on_topic(kafka: &RealKafka) -> anyhow::Result<()> {
    let room = room(
        kafka,
        Listener::Sasl,
        Rights {
            input: false,
            ..ALL
        },
    )?;
    assert_stopped(&room, &["grant this user Read and Describe on the input"])
}

fn no_rights_on_group(kafka: &RealKafka) -> anyhow::Result<()> {
    let room = room(
        kafka,
        Listener::Sasl,
        Rights {
            group: false,
            ..ALL
        },
    )?;
    assert_stopped(&room, &["grant this user Read on the consumer group"])
}

fn no_rights_on_transactions(kafka: &RealKafka) -> anyhow::Result<()> {
    let rights = Rights {
        transactions: false,
        ..ALL
    };
    let room = room(kafka, Listener::Sasl, rights)?;
    assert_stopped(&room, &["transactional-id prefix"])
}

fn no_rights_on_output(kafka: &RealKafka) -> anyhow::Result<()> {
    let room = room(
        kafka,
        Listener::Sasl,
        Rights {
            output: false,
            ..ALL
        },
    )?;
    assert_stopped(&room, &["Write and Describe on the output"])
}

fn missing_topic(kafka: &RealKafka) -> anyhow::Result<()> {
    let input = kafka.name("later");
    let name = kafka.name("group");
    let settings = KafkaSettings::new(kafka.bootstrap(), &name, [&input], &name, "a");
    let mut transport = KafkaTransport::connect(&settings, 0)?;
    let mut batch = Batch::default();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(3) {
        let polled = transport.poll(&mut batch, Duration::from_millis(100))?;
        assert!(matches!(polled, Polled::Idle | Polled::Assigned(_)));
    }
    Ok(())
}

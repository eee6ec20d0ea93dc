//! Exactly once, on a real broker: what a reader of committed records sees when lanes come, go and
//! are killed.

use std::{process::ExitCode, time::Duration};

use rdkafka::{
    ClientConfig,
    producer::{BaseProducer, BaseRecord, Producer},
    util::Timeout,
};
use tidegate_tests::{Isolation, Part, RealKafka, Suite, Topics};

fn main() -> ExitCode {
    let kafka = Part::new(RealKafka::start_secure);
    let status = Suite::default()
        .case(
            "a_reader_of_committed_records_never_sees_an_aborted_transaction",
            &kafka,
            aborted_is_unseen,
        )
        .run();
    drop(kafka);
    status
}

/// The ground that everything else here stands on, with no code of ours in it.
fn aborted_is_unseen(kafka: &RealKafka) -> anyhow::Result<()> {
    let topic = kafka.create_topic("aborts", 1)?;
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", kafka.bootstrap())
        .set("transactional.id", kafka.name("aborts"))
        .create()?;
    producer.init_transactions(Timeout::Never)?;
    for (value, commit) in [("kept", true), ("dropped", false), ("kept too", true)] {
        producer.begin_transaction()?;
        let record = BaseRecord::to(&topic).key("k").payload(value);
        producer.send(record).map_err(|(error, _)| error)?;
        producer.flush(Duration::from_secs(10))?;
        if commit {
            producer.commit_transaction(Timeout::Never)?;
        } else {
            producer.abort_transaction(Timeout::Never)?;
        }
    }
    let values = |isolation| -> anyhow::Result<Vec<String>> {
        let seen = kafka.read_all(&topic, isolation)?;
        Ok(seen
            .into_iter()
            .map(|record| String::from_utf8_lossy(&record.value).into_owned())
            .collect())
    };
    assert_eq!(values(Isolation::Committed)?, ["kept", "kept too"]);
    assert_eq!(
        values(Isolation::Uncommitted)?,
        ["kept", "dropped", "kept too"]
    );
    Ok(())
}

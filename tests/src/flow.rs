//! One input topic, one output topic, lanes that copy from one to the other, and the books on it.

use std::time::Duration;

use anyhow::ensure;
use tidegate_kafka::settings::KafkaSettings;

use crate::{Account, Audit, Isolation, Job, RealKafka, Seen, Topics};

/// How many keys the records are spread over.
const KEYS: u64 = 97;
const PATIENCE: Duration = Duration::from_secs(120);

/// Records that must come out as they went in, each exactly once and per key in order.
pub struct Flow<'k> {
    kafka: &'k RealKafka,
    /// The topic that is fed.
    pub input: String,
    /// The topic that lanes copy to.
    pub output: String,
    group: String,
    account: Account<Vec<u8>, Vec<u8>>,
    fed: u64,
}

impl<'k> Flow<'k> {
    /// Fresh topics of six partitions, and a fresh group.
    ///
    /// # Errors
    /// The topics can't be made.
    pub fn new(kafka: &'k RealKafka) -> anyhow::Result<Self> {
        Ok(Self {
            kafka,
            input: kafka.create_topic("in", 6)?,
            output: kafka.create_topic("out", 6)?,
            group: kafka.name("group"),
            account: Account::default(),
            fed: 0,
        })
    }

    /// Writes `records` more records to the input.
    ///
    /// # Errors
    /// They can't be written.
    pub fn feed(&mut self, records: u64) -> anyhow::Result<()> {
        let batch: Vec<_> = (self.fed..self.fed + records)
            .map(|number| {
                let key = format!("key-{}", number % KEYS);
                (key.into_bytes(), number.to_string().into_bytes())
            })
            .collect();
        let pairs = batch.iter().map(|(key, value)| (&key[..], &value[..]));
        self.kafka.produce(&self.input, pairs)?;
        self.fed += records;
        for (key, value) in batch {
            self.account.expect(key, value);
        }
        Ok(())
    }

    /// A worker's job on this flow, under the name `instance`: one lane, some two commits a second, and
    /// slow enough that transactions are open most of the time.
    #[must_use]
    pub fn job(&self, instance: &str) -> Job {
        let name = &self.group;
        let mut kafka =
            KafkaSettings::new(self.kafka.bootstrap(), name, [&self.input], name, instance);
        kafka.session_timeout_ms = 6_000;
        kafka.transaction_timeout_ms = 10_000;
        Job {
            kafka,
            output: self.output.clone(),
            lanes: 1,
            commit_interval_ms: 500,
            slowness_ms: 20,
        }
    }

    /// Waits until as much came out as went in, and audits it.
    ///
    /// # Errors
    /// The output can't be read.
    pub fn audit(&self) -> anyhow::Result<Audit> {
        let expected = self.account.expected();
        let seen = self
            .kafka
            .read_until(&self.output, Isolation::Committed, PATIENCE, |seen| {
                seen.len() as u64 >= expected
            })?;
        Ok(self.audit_of(&seen))
    }

    /// Fails unless each record fed came out exactly once, per key in order.
    ///
    /// # Errors
    /// It did not; or the output can't be read.
    pub fn check(&self) -> anyhow::Result<()> {
        let audit = self.audit()?;
        ensure!(
            audit.is_clean(),
            "not exactly once from {} to {}: {audit}",
            self.input,
            self.output
        );
        Ok(())
    }

    /// How many records of undone transactions lie in the output: the difference between what
    /// readers of uncommitted and of committed records see.
    ///
    /// # Errors
    /// The output can't be read.
    pub fn undone(&self) -> anyhow::Result<u64> {
        let all = self.kafka.read_all(&self.output, Isolation::Uncommitted)?;
        let committed = self.kafka.read_all(&self.output, Isolation::Committed)?;
        Ok((all.len() - committed.len()) as u64)
    }

    fn audit_of(&self, seen: &[Seen]) -> Audit {
        self.account
            .audit(seen.iter().map(|record| (&record.key, &record.value)))
    }
}

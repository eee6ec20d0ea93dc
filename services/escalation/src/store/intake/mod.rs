//! What arrives from the escalations topic, stored with the offsets after it.

mod batch;
mod flood;

use tidegate_proto::escalation::v1::CaseEvent;

use super::{
    Arrived, IntakeReport, Kept, Progress, Store,
    sql::{Bind, Sql, get},
    unit::Unit,
    writer::Job,
};
use crate::error::{Refusal, StoreError};
use batch::Batch;

impl Store {
    /// Stores what arrived with how far was read, all or nothing.
    ///
    /// # Errors
    /// [`Overtaken`](crate::Refusal::Overtaken), or that the store can't be reached; then nothing is
    /// stored.
    pub async fn intake(
        &self,
        arrived: Vec<Arrived>,
        progress: &[Progress],
    ) -> Result<IntakeReport, StoreError> {
        let progress = progress.to_vec();
        self.writer.run(Intake { arrived, progress }).await
    }
}

/// What arrived.
pub(crate) struct Intake {
    pub(crate) arrived: Vec<Arrived>,
    pub(crate) progress: Vec<Progress>,
}

impl Job for Intake {
    type Answer = IntakeReport;

    fn is_bulk(&self) -> bool {
        true
    }

    async fn run(&self, unit: &mut Unit) -> Result<IntakeReport, StoreError> {
        not_overtaken(unit, &self.progress).await?;
        let mut batch = Batch::read(unit, &self.arrived).await?;
        for arrived in &self.arrived {
            match arrived {
                Arrived::Open(case) => batch.open(unit, case).await?,
                Arrived::Withdrawn {
                    event_id,
                    platform,
                    brand,
                    ..
                } => {
                    let same = |event: &CaseEvent| {
                        platform.as_ref().is_none_or(|one| *one == event.platform)
                            && brand.as_ref().is_none_or(|one| *one == event.brand)
                    };
                    batch.withdraw(unit, event_id, same).await?;
                }
                Arrived::Unreadable(kept) => keep(unit, kept).await?,
            }
        }
        let report = batch.report;
        batch.write(unit).await?;
        if !self.progress.is_empty() {
            let mut sql = Sql::new("INSERT INTO offsets (topic,part,next) VALUES ");
            sql.rows(self.progress.iter().map(|one| {
                vec![
                    (&one.topic).into(),
                    i64::from(one.partition).into(),
                    one.next.into(),
                ]
            }))
            .text(" ON CONFLICT (topic,part) DO UPDATE SET next=excluded.next");
            unit.write(&sql).await?;
        }
        Ok(report)
    }
}

/// Refuses what a reader brings that was slower than another one: an edit would undo a later one.
async fn not_overtaken(unit: &mut Unit, progress: &[Progress]) -> Result<(), StoreError> {
    for one in progress {
        let mut sql = Sql::new("SELECT next FROM offsets WHERE topic=");
        sql.bind(&one.topic)
            .text(" AND part=")
            .bind(i64::from(one.partition));
        let row = unit.row(&sql).await?;
        let stored: Option<i64> = row.map(|row| get(&row, 0)).transpose()?;
        if stored != one.known {
            let partition = format!("{}[{}]", one.topic, one.partition);
            return Err(Refusal::Overtaken { partition }.into());
        }
    }
    Ok(())
}

/// Keeps a record that cannot be read.
async fn keep(unit: &mut Unit, kept: &Kept) -> Result<(), StoreError> {
    let row: Vec<Bind> = vec![
        (&kept.topic).into(),
        i64::from(kept.partition).into(),
        kept.offset.into(),
        unit.now.into(),
        format!("{}: {}", kept.reason, kept.detail).as_str().into(),
        kept.key.as_slice().into(),
        kept.value.as_slice().into(),
    ];
    let mut sql =
        Sql::new("INSERT INTO unreadable (topic,part,place,time,reason,key,value) VALUES ");
    sql.rows([row])
        .text(" ON CONFLICT (topic,part,place) DO NOTHING");
    unit.write(&sql).await?;
    Ok(())
}

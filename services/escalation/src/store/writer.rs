//! The one task that writes. It takes what waits, does all of it in one transaction, commits once,
//! and then answers everyone: a commit that costs a disk's flush serves hundreds.

use std::{
    future::Future,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::{
    Clock, StoreSettings,
    database::Database,
    unit::{Unit, Wants},
};
use crate::StoreError;

/// How many commands may wait; more make their callers wait.
const WAITING_LIMIT: usize = 4_096;

/// How long jobs are added to a transaction: whoever was first must not wait for all others.
const GROUP_WITHIN: Duration = Duration::from_millis(15);

/// How often what was committed is brought from SQLite's log into its file, while there is anything.
/// The disk makes commits wait for as long as it takes: little and often is hardly felt, once a
/// second was 90 ms.
const CHECKPOINT_EVERY: Duration = Duration::from_millis(30);

/// The same while only intake writes, which nobody watches: a page that changes again and again is
/// brought over once.
const CHECKPOINT_BULK: Duration = Duration::from_millis(500);

/// Something to be done in a writing transaction, which may be tried again.
///
/// What refuses does so before it writes anything.
pub(crate) trait Job: Send + Sync + 'static {
    type Answer: Send + Sync + 'static;

    /// What it reads first: that of many jobs is read at once.
    fn wants(&self) -> Wants<'_> {
        Wants::default()
    }

    /// Whether it is much at once, and no person waits for it.
    fn is_bulk(&self) -> bool {
        false
    }

    fn run(&self, unit: &mut Unit)
    -> impl Future<Output = Result<Self::Answer, StoreError>> + Send;
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A job whose caller waits.
trait Waiting: Send + Sync {
    fn wants(&self) -> Wants<'_>;
    fn is_bulk(&self) -> bool;

    /// Keeps a refusal as an answer; any other error breaks the transaction.
    fn run<'a>(&'a mut self, unit: &'a mut Unit) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Tells the caller: what the job answered, or why nothing was written.
    fn answer(self: Box<Self>, broken: Option<StoreError>);
}

struct Call<J: Job> {
    job: J,
    outcome: Option<Result<J::Answer, StoreError>>,
    caller: oneshot::Sender<Result<J::Answer, StoreError>>,
}

impl<J: Job> Waiting for Call<J> {
    fn wants(&self) -> Wants<'_> {
        self.job.wants()
    }

    fn is_bulk(&self) -> bool {
        self.job.is_bulk()
    }

    fn run<'a>(&'a mut self, unit: &'a mut Unit) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let written = unit.written();
            // A bug in one job must not end the task that does everyone's.
            let run = AssertUnwindSafe(self.job.run(unit)).catch_unwind();
            let outcome = run.await.map_err(|_| StoreError::Broken {
                why: "a panic ended this job; standard error says where".to_owned(),
            })?;
            match outcome {
                Err(error) if unit.written() != written => return Err(error),
                Err(StoreError::Refused(_)) | Ok(_) => self.outcome = Some(outcome),
                Err(error) => return Err(error),
            }
            Ok(())
        })
    }

    fn answer(self: Box<Self>, broken: Option<StoreError>) {
        let answer = match (broken, self.outcome) {
            (Some(error), _) => Err(error),
            (None, Some(outcome)) => outcome,
            (None, None) => Err(closed()),
        };
        // A caller that gave up needs no answer; its request id finds it.
        drop(self.caller.send(answer));
    }
}

enum Message {
    Job(Box<dyn Waiting>),
    Close(oneshot::Sender<()>),
}

/// Where jobs are handed in. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Writer {
    jobs: mpsc::Sender<Message>,
    pub(crate) newest: Arc<watch::Sender<i64>>,
}

impl Writer {
    pub(crate) fn start(database: Database, settings: Arc<StoreSettings>, clock: Clock) -> Self {
        let (jobs, waiting) = mpsc::channel(WAITING_LIMIT);
        let newest = Arc::new(watch::Sender::new(0));
        let committed = Arc::new(Notify::new());
        let hurry = Arc::new(Notify::new());
        let checkpoints = Checkpoints {
            database: database.clone(),
            jobs: jobs.downgrade(),
            committed: committed.clone(),
            hurry: hurry.clone(),
        };
        tokio::spawn(checkpoints.make());
        let task = Task {
            database,
            settings,
            clock,
            newest: newest.clone(),
            committed,
            hurry,
        };
        tokio::spawn(task.work(waiting));
        Self { jobs, newest }
    }

    /// Hands a job in, and waits for its commit.
    pub(crate) async fn run<J: Job>(&self, job: J) -> Result<J::Answer, StoreError> {
        let answer = self.submit(job).await?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Hands a job in, and does not wait for it.
    pub(crate) async fn submit<J: Job>(
        &self,
        job: J,
    ) -> Result<oneshot::Receiver<Result<J::Answer, StoreError>>, StoreError> {
        let (caller, answer) = oneshot::channel();
        let call = Call {
            job,
            outcome: None,
            caller,
        };
        let sent = self.jobs.send(Message::Job(Box::new(call))).await;
        sent.map_err(|_| closed())?;
        Ok(answer)
    }

    /// Ends the task once what was handed in before is done.
    pub(crate) async fn close(&self) {
        let (done, ended) = oneshot::channel();
        if self.jobs.send(Message::Close(done)).await.is_ok() {
            // An error as well says that it ended.
            drop(ended.await);
        }
    }
}

/// The task that makes checkpoints.
struct Checkpoints {
    database: Database,
    jobs: mpsc::WeakSender<Message>,
    /// Something was committed.
    committed: Arc<Notify>,
    /// People wait for commits.
    hurry: Arc<Notify>,
}

impl Checkpoints {
    /// Makes them until nobody writes any more.
    async fn make(self) {
        while self.jobs.upgrade().is_some_and(|jobs| !jobs.is_closed()) {
            // A look now and then, whether anybody is left who writes.
            let commit = tokio::time::timeout(Duration::from_secs(1), self.committed.notified());
            if commit.await.is_ok() {
                self.database.checkpoint().await;
                let pause = CHECKPOINT_BULK - CHECKPOINT_EVERY;
                tokio::time::sleep(CHECKPOINT_EVERY).await;
                // Cut short by the first who waits; without one, that's all.
                tokio::time::timeout(pause, self.hurry.notified())
                    .await
                    .ok();
            }
        }
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable {
        why: "it is closed".to_owned(),
    }
}

struct Task {
    database: Database,
    settings: Arc<StoreSettings>,
    clock: Clock,
    newest: Arc<watch::Sender<i64>>,
    committed: Arc<Notify>,
    hurry: Arc<Notify>,
}

impl Task {
    async fn work(self, mut waiting: mpsc::Receiver<Message>) {
        let mut messages = Vec::new();
        let mut jobs = Vec::new();
        let mut closing: Option<oneshot::Sender<()>> = None;
        let limit = self.settings.group.max(1);
        loop {
            if jobs.is_empty() {
                if let Some(done) = closing {
                    // Nobody waits any more if it fails.
                    done.send(()).ok();
                    return;
                }
                if waiting.recv_many(&mut messages, limit).await == 0 {
                    return;
                }
            } else {
                while jobs.len() + messages.len() < limit
                    && let Ok(message) = waiting.try_recv()
                {
                    messages.push(message);
                }
            }
            for message in messages.drain(..) {
                match message {
                    Message::Job(job) => jobs.push(job),
                    Message::Close(done) => closing = Some(done),
                }
            }
            if !jobs.is_empty() {
                self.database.finish_checkpoint().await;
                jobs = self.serve(jobs).await;
            }
        }
    }

    /// Does jobs, the first ones of them, and gives back the others.
    async fn serve(&self, mut jobs: Vec<Box<dyn Waiting>>) -> Vec<Box<dyn Waiting>> {
        match self.commit(&mut jobs).await {
            Ok(done) => {
                let left = jobs.split_off(done);
                for job in jobs {
                    job.answer(None);
                }
                left
            }
            // One of them, and nothing was committed: the others must not suffer from it.
            Err(StoreError::Refused(_) | StoreError::Broken { .. }) if jobs.len() > 1 => {
                for job in jobs {
                    let mut alone = [job];
                    let broken = self.commit(&mut alone).await.err();
                    let [job] = alone;
                    job.answer(broken);
                }
                Vec::new()
            }
            Err(error) => {
                for job in jobs {
                    job.answer(Some(error.clone()));
                }
                Vec::new()
            }
        }
    }

    /// Does jobs in one transaction, as many as it has time for but one at least, and says how
    /// many. Only [`StoreError::Unavailable`] leaves open whether it was committed.
    async fn commit(&self, jobs: &mut [Box<dyn Waiting>]) -> Result<usize, StoreError> {
        let began = Instant::now();
        let now = (self.clock)();
        let mut unit = Unit::begin(&self.database, self.settings.clone(), now).await?;
        let is_bulk = jobs.iter().all(|job| job.is_bulk());
        let wants = jobs.iter().map(|job| job.wants());
        if let Err(error) = unit.read_ahead(wants).await {
            unit.abandon().await;
            return Err(error);
        }
        let mut done = 0;
        for job in jobs {
            if done > 0 && began.elapsed() >= GROUP_WITHIN {
                break;
            }
            if let Err(error) = job.run(&mut unit).await {
                unit.abandon().await;
                return Err(error);
            }
            done += 1;
        }
        let newest = unit.commit().await?;
        self.committed.notify_one();
        if !is_bulk {
            self.hurry.notify_one();
        }
        self.newest.send_if_modified(|known| {
            let newer = newest > *known;
            *known = newest.max(*known);
            newer
        });
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Store,
        store::{sql::Sql, system_clock},
    };

    /// Writes a topic's offset, and may then come upon a bug.
    struct Write {
        topic: String,
        bug: bool,
    }

    impl Job for Write {
        type Answer = ();

        async fn run(&self, unit: &mut Unit) -> Result<(), StoreError> {
            let mut sql = Sql::new("INSERT INTO offsets (topic,part,next) VALUES (");
            sql.bind(&self.topic).text(",0,1)");
            unit.write(&sql).await?;
            assert!(!self.bug, "a bug");
            Ok(())
        }
    }

    #[test]
    fn a_panic_takes_back_its_own_job_and_the_writer_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("cases.db").display());
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let settings = StoreSettings::new(url);
            let store = Store::open(&settings, system_clock()).await.unwrap();
            let mut answers = Vec::new();
            for (topic, bug) in [("a", false), ("b", true), ("c", false)] {
                let topic = topic.to_owned();
                let job = Write { topic, bug };
                answers.push(store.writer.submit(job).await.unwrap());
            }
            let mut done = Vec::new();
            for answer in answers {
                done.push(answer.await.unwrap());
            }
            assert!(done[0].is_ok() && done[2].is_ok());
            let error = done.swap_remove(1).unwrap_err();
            assert_eq!(error.code(), tonic::Code::Internal, "{error}");
            for (topic, offsets) in [("a", 1), ("b", 0), ("c", 1)] {
                assert_eq!(store.offsets(topic).await.unwrap().len(), offsets);
            }
            store.close().await;
        });
    }
}

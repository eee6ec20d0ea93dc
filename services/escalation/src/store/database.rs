//! The database: SQLite or PostgreSQL, opened and brought up to date.

use std::{
    borrow::Cow,
    fs::File,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use sqlx::{
    AnyConnection, AnyPool, Executor,
    any::{AnyPoolOptions, install_default_drivers},
    migrate::{Migration, MigrationType, Migrator},
};

use super::sql::{Sql, get};
use crate::{StoreError, audit::FIRST};

/// Which database it is, where they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// Every change of the tables, in order. One that was released is never edited.
const MIGRATIONS: [(i64, &str, &str); 2] = [
    (1, "first", include_str!("../../migrations/0001_first.sql")),
    (
        2,
        "audit index",
        include_str!("../../migrations/0002_audit_index.sql"),
    ),
];

/// How long a statement may wait for a connection, or for another writer.
const PATIENCE: Duration = Duration::from_secs(5);

/// From how many pages on SQLite's log is to go back to its beginning.
const LOG_PAGES: i64 = 8_192;

/// How many pages the writer may be asked to bring over.
const LAST_PAGES: i64 = 1_024;

/// How often a checkpoint follows another one, until so few are left.
const CHECKPOINT_TRIES: usize = 4;

/// What a pool's connections are for.
#[derive(Clone, Copy, PartialEq)]
enum Use {
    Reading,
    Writing,
}

/// The pools of one database.
#[derive(Clone)]
pub(crate) struct Database {
    pub(crate) dialect: Dialect,
    /// For all writing: one connection.
    pub(crate) writer: AnyPool,
    pub(crate) readers: AnyPool,
    /// How many pages SQLite's file may have; 0: as many as the disk holds. For tests.
    pages: Arc<AtomicU32>,
    /// Whether the writer is to finish a checkpoint.
    finish: Arc<AtomicBool>,
    /// SQLite's file. Never closed: with it all of the process's locks on the file would go, SQLite's
    /// own as well.
    file: Option<&'static File>,
}

impl Database {
    pub(crate) async fn open(url: &str, readers: u32) -> Result<Self, StoreError> {
        install_default_drivers();
        let (dialect, url) = if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            (Dialect::Postgres, Cow::Borrowed(url))
        } else if let Some(path) = url.strip_prefix("sqlite:") {
            let sign = if path.contains('?') { '&' } else { '?' };
            let mode = if path.contains("mode=") {
                String::new()
            } else {
                format!("{sign}mode=rwc")
            };
            (Dialect::Sqlite, Cow::Owned(format!("sqlite:{path}{mode}")))
        } else {
            return Err(StoreError::Unavailable {
                why: "its url begins neither with sqlite: nor with postgres://".to_owned(),
            });
        };
        let pages = Arc::new(AtomicU32::new(0));
        let writer = pool(dialect, &url, 1, Use::Writing, &pages).await?;
        dialect.migrator().run(&writer).await.map_err(|error| {
            use sqlx::migrate::MigrateError::{
                Execute, ExecuteMigration, VersionMismatch, VersionMissing, VersionTooNew,
            };
            match error {
                VersionMissing(version) | VersionTooNew(version, _) => StoreError::Broken {
                    why: format!(
                        "a newer version of this program wrote it (migration {version}): run that \
                         one"
                    ),
                },
                VersionMismatch(version) => StoreError::Broken {
                    why: format!("migration {version} is not the one that was applied"),
                },
                Execute(error) | ExecuteMigration(error, _) => error.into(),
                other => StoreError::Broken {
                    why: other.to_string(),
                },
            }
        })?;
        Ok(Self {
            dialect,
            writer,
            readers: pool(dialect, &url, readers.max(1), Use::Reading, &pages).await?,
            pages,
            finish: Arc::default(),
            file: file(&url).map(|file| &*Box::leak(Box::new(file))),
        })
    }
}

impl Database {
    /// Lets SQLite's file grow to so many pages and no further, as a full disk would.
    pub(crate) async fn limit_pages(&self, pages: u32) -> Result<(), StoreError> {
        self.pages.store(pages, Ordering::Relaxed);
        // The limit is a connection's: this one and those that follow it.
        let limit = format!("PRAGMA max_page_count = {pages}");
        sqlx::query(&limit).execute(&self.writer).await?;
        Ok(())
    }

    /// Brings what was committed from SQLite's log into its file, beside the writer: whoever waits
    /// for a commit does not wait for this. The log can go back to its beginning only when nothing
    /// is left in it; where writing never pauses, the writer is asked to bring over the last few
    /// pages itself, see [`finish_checkpoint`](Self::finish_checkpoint).
    pub(crate) async fn checkpoint(&self) {
        if self.dialect == Dialect::Postgres {
            return;
        }
        let mut synced = false;
        for _ in 0..CHECKPOINT_TRIES {
            match passive_checkpoint(&self.readers).await {
                Ok(Log { pages, left }) => {
                    if pages < LOG_PAGES {
                        return;
                    }
                    if left <= LAST_PAGES && synced {
                        self.finish.store(true, Ordering::Release);
                        return;
                    }
                    self.sync().await;
                    synced = true;
                }
                Err(error) => {
                    tracing::debug!(%error, "the log stays as it is for now");
                    return;
                }
            }
        }
    }

    /// Lets the disk have what checkpoints brought into SQLite's file. The one that comes to the log's
    /// end waits for it; so much the less, the more is there by then.
    async fn sync(&self) {
        if let Some(file) = self.file {
            let done = tokio::task::spawn_blocking(|| file.sync_data()).await;
            if !matches!(done, Ok(Ok(()))) {
                tracing::debug!("SQLite's file was not synced ahead; its checkpoint does it");
            }
        }
    }

    /// Brings the last pages of SQLite's log into its file, if there are few: the writer is the one
    /// that can, since nothing is added meanwhile.
    pub(crate) async fn finish_checkpoint(&self) {
        if self.finish.swap(false, Ordering::Acquire)
            && let Err(error) = passive_checkpoint(&self.writer).await
        {
            tracing::debug!(%error, "the log stays as it is for now");
        }
    }

    /// The random name that the database was given when it was made.
    pub(crate) async fn identify(&self) -> Result<String, StoreError> {
        let mut tx = self.writer.begin_with(self.dialect.begin()).await?;
        let name: u128 = rand::random();
        let mut sql = Sql::new("INSERT INTO meta (name,value) VALUES ('id',");
        sql.bind(&format!("{name:032x}"))
            .text(") ON CONFLICT (name) DO NOTHING");
        sql.query().execute(&mut *tx).await?;
        // The row that writers of several processes take turns by.
        let mut sql = Sql::new("INSERT INTO audit_head (id,sequence,hash) VALUES (1,0,");
        sql.bind(FIRST.to_vec())
            .text(") ON CONFLICT (id) DO NOTHING");
        sql.query().execute(&mut *tx).await?;
        let row = sqlx::query("SELECT value FROM meta WHERE name='id'")
            .fetch_one(&mut *tx)
            .await?;
        let id = get(&row, 0)?;
        tx.commit().await?;
        Ok(id)
    }
}

/// SQLite's file, by its URL.
fn file(url: &str) -> Option<File> {
    let path = url.strip_prefix("sqlite:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    File::open(path.split('?').next()?).ok()
}

/// SQLite's log after a checkpoint, in pages.
struct Log {
    pages: i64,
    /// What is not in the file yet.
    left: i64,
}

async fn passive_checkpoint(pool: &AnyPool) -> Result<Log, StoreError> {
    let row = sqlx::query("PRAGMA wal_checkpoint(PASSIVE)")
        .fetch_one(pool)
        .await?;
    let (pages, done): (i64, i64) = (get(&row, 1)?, get(&row, 2)?);
    Ok(Log {
        pages,
        left: pages - done,
    })
}

async fn pool(
    dialect: Dialect,
    url: &str,
    size: u32,
    used: Use,
    pages: &Arc<AtomicU32>,
) -> Result<AnyPool, StoreError> {
    let pages = pages.clone();
    let options = AnyPoolOptions::new()
        .max_connections(size)
        .acquire_timeout(PATIENCE)
        .after_connect(move |connection, _| {
            let pages = pages.load(Ordering::Relaxed);
            Box::pin(async move {
                dialect.prepare(connection).await?;
                if (dialect, used) == (Dialect::Postgres, Use::Writing) {
                    // A few statements again and again: planning each took a third of the time.
                    // Each wants the first rows of an index, and never all of them sorted.
                    let plans = "SET plan_cache_mode = force_generic_plan; \
                                 SET enable_sort = off; SET enable_bitmapscan = off";
                    connection.execute(plans).await?;
                }
                if pages > 0 {
                    let limit = format!("PRAGMA max_page_count = {pages}");
                    connection.execute(&*limit).await?;
                }
                Ok(())
            })
        });
    Ok(options.connect(url).await?)
}

impl Dialect {
    async fn prepare(self, connection: &mut AnyConnection) -> Result<(), sqlx::Error> {
        let settings = match self {
            // Full: a commit is on the disk before anyone hears of it. Secure delete: what is
            // erased is overwritten.
            Self::Sqlite => {
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; \
                 PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; \
                 PRAGMA cache_size = -131072; PRAGMA case_sensitive_like = ON; \
                 PRAGMA wal_autocheckpoint = 65536; PRAGMA journal_size_limit = 268435456"
            }
            // A process that hangs must not keep others from writing. What is read is a few rows of
            // an index: a plan made while the tables were empty must not read all of them later.
            Self::Postgres => {
                "SET lock_timeout = '5s'; SET statement_timeout = '30s'; \
                 SET idle_in_transaction_session_timeout = '10s'; SET jit = off; \
                 SET max_parallel_workers_per_gather = 0; \
                 SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off"
            }
        };
        connection.execute(settings).await?;
        Ok(())
    }

    fn migrator(self) -> Migrator {
        let (blob, key) = match self {
            Self::Sqlite => ("BLOB", "INTEGER PRIMARY KEY"),
            Self::Postgres => ("BYTEA", "BIGINT PRIMARY KEY"),
        };
        let migrations = MIGRATIONS.map(|(version, name, sql)| {
            Migration::new(
                version,
                name.into(),
                MigrationType::Simple,
                sql.replace("{blob}", blob).replace("{key}", key).into(),
                false,
            )
        });
        Migrator {
            migrations: migrations.to_vec().into(),
            ..Migrator::DEFAULT
        }
    }

    /// How a writing transaction begins.
    pub(crate) fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN",
        }
    }

    /// What makes other writers wait for the row.
    pub(crate) fn for_update(self) -> &'static str {
        match self {
            // Its transaction has the whole file.
            Self::Sqlite => "",
            Self::Postgres => " FOR UPDATE",
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error::{
            ColumnDecode, ColumnIndexOutOfBounds, ColumnNotFound, Database, Decode, Encode,
            PoolClosed, PoolTimedOut, RowNotFound, TypeNotFound, WorkerCrashed,
        };
        match error {
            // Its text may quote values; the code does not.
            Database(error) => {
                let code = error.code().unwrap_or_default().into_owned();
                if is_passing(&code) {
                    Self::Unavailable {
                        why: format!("database error {code}: {}", meaning(&code)),
                    }
                } else {
                    Self::Broken {
                        why: format!("database error {code}"),
                    }
                }
            }
            ColumnDecode { .. }
            | ColumnIndexOutOfBounds { .. }
            | ColumnNotFound(_)
            | Decode(_)
            | Encode(_)
            | RowNotFound
            | TypeNotFound { .. } => Self::Broken {
                why: "a value is not of its kind".to_owned(),
            },
            PoolTimedOut => Self::Unavailable {
                why: "no connection within 5 s".to_owned(),
            },
            PoolClosed => Self::Unavailable {
                why: "it is closed".to_owned(),
            },
            WorkerCrashed => Self::Unavailable {
                why: "its worker ended".to_owned(),
            },
            other => Self::Unavailable {
                why: other.to_string(),
            },
        }
    }
}

/// Whether waiting may help: SQLite's numbers for busy, locked, no memory, read-only, input or
/// output failed, full, can't open; PostgreSQL's classes for connection, transaction rollback,
/// resources, limits, operator intervention, system.
fn is_passing(code: &str) -> bool {
    if let Ok(number) = code.parse::<i64>()
        && code.len() < 5
    {
        return matches!(number & 0xff, 5 | 6 | 7 | 8 | 10 | 13 | 14);
    }
    ["08", "25", "40", "53", "55", "57", "58", "XX"]
        .iter()
        .any(|class| code.starts_with(class))
}

fn meaning(code: &str) -> &'static str {
    match code {
        "13" | "53100" => "the disk is full",
        "5" | "6" | "55P03" => "another process is writing",
        _ => "it cannot serve now",
    }
}

//! The catalog: which segments exist, and from which log file on recovery has to read.
//!
//! One SQLite database. A flush or a compaction is one transaction (`synchronous=FULL`): before it the old
//! segments and the log are the truth, after it the new ones; there is no moment in between.

use std::path::Path;
use std::str::FromStr;

use cofferdam_model::ProjectId;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row, SqliteConnection};

use crate::{Error, Result};

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS segments (
    id INTEGER PRIMARY KEY,
    project INTEGER NOT NULL,
    bucket INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    time_min INTEGER NOT NULL,
    time_max INTEGER NOT NULL,
    received_max INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    crc32c INTEGER NOT NULL,
    path TEXT NOT NULL UNIQUE
) STRICT;
CREATE TABLE IF NOT EXISTS floor (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    wal INTEGER NOT NULL
) STRICT;
INSERT INTO floor (one, wal) VALUES (1, 1) ON CONFLICT DO NOTHING;
";

/// A segment as the catalog knows it. The path is relative to the lake's folder.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) id: u64,
    pub(crate) project: ProjectId,
    pub(crate) bucket: u32,
    pub(crate) rows: u64,
    pub(crate) time_us: (i64, i64),
    pub(crate) received_max: i64,
    pub(crate) bytes: u64,
    pub(crate) crc32c: u32,
    pub(crate) path: String,
}

pub(crate) struct Catalog {
    pool: SqlitePool,
}

impl Catalog {
    pub(crate) async fn open(path: &Path) -> Result<Catalog> {
        let options = SqliteConnectOptions::from_str(&format!("sqlite://{}", path.display()))
            .map_err(Error::Catalog)?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true);
        // One connection: the writer is one task, and readers ask at start only.
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.map_err(Error::Catalog)?;
        sqlx::raw_sql(SCHEMA).execute(&pool).await.map_err(Error::Catalog)?;
        Ok(Catalog { pool })
    }

    /// The log file to recover from, and every segment.
    pub(crate) async fn load(&self) -> Result<(u64, Vec<Entry>)> {
        let floor: i64 = sqlx::query("SELECT wal FROM floor")
            .fetch_one(&self.pool)
            .await
            .and_then(|row| row.try_get(0))
            .map_err(Error::Catalog)?;
        let rows = sqlx::query(
            "SELECT id, project, bucket, rows, time_min, time_max, received_max, bytes, crc32c, path FROM segments ORDER BY id",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(Error::Catalog)?;
        let entries = rows
            .iter()
            .map(|row| {
                let int = |index: usize| row.try_get::<i64, _>(index);
                Ok(Entry {
                    id: int(0)?.cast_unsigned(),
                    project: ProjectId(int(1)? as u32),
                    bucket: int(2)? as u32,
                    rows: int(3)?.cast_unsigned(),
                    time_us: (int(4)?, int(5)?),
                    received_max: int(6)?,
                    bytes: int(7)?.cast_unsigned(),
                    crc32c: int(8)? as u32,
                    path: row.try_get(9)?,
                })
            })
            .collect::<sqlx::Result<_>>()
            .map_err(Error::Catalog)?;
        Ok((floor.cast_unsigned(), entries))
    }

    /// Adds flushed segments and moves the floor of the log, in one transaction.
    pub(crate) async fn flushed(&self, added: &[Entry], floor: u64) -> Result<()> {
        let mut transaction = self.pool.begin().await.map_err(Error::Catalog)?;
        for entry in added {
            insert(&mut transaction, entry).await?;
        }
        sqlx::query("UPDATE floor SET wal = $1")
            .bind(floor.cast_signed())
            .execute(&mut *transaction)
            .await
            .map_err(Error::Catalog)?;
        transaction.commit().await.map_err(Error::Catalog)
    }

    /// Puts one segment in the place of others, in one transaction.
    pub(crate) async fn replaced(&self, added: &Entry, removed: &[u64]) -> Result<()> {
        let mut transaction = self.pool.begin().await.map_err(Error::Catalog)?;
        for id in removed {
            sqlx::query("DELETE FROM segments WHERE id = $1")
                .bind(id.cast_signed())
                .execute(&mut *transaction)
                .await
                .map_err(Error::Catalog)?;
        }
        insert(&mut transaction, added).await?;
        transaction.commit().await.map_err(Error::Catalog)
    }
}

async fn insert(connection: &mut SqliteConnection, entry: &Entry) -> Result<()> {
    sqlx::query(
        "INSERT INTO segments (id, project, bucket, rows, time_min, time_max, received_max, bytes, crc32c, path)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(entry.id.cast_signed())
    .bind(i64::from(entry.project.0))
    .bind(i64::from(entry.bucket))
    .bind(entry.rows.cast_signed())
    .bind(entry.time_us.0)
    .bind(entry.time_us.1)
    .bind(entry.received_max)
    .bind(entry.bytes.cast_signed())
    .bind(i64::from(entry.crc32c))
    .bind(&entry.path)
    .execute(connection)
    .await
    .map_err(Error::Catalog)?;
    Ok(())
}

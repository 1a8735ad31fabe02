//! The vault's databases: one set of statements, on SQLite beside the data or on a PostgreSQL server.
//!
//! Callers write SQL that both read: `$1` marks, `ON CONFLICT`, types in SQLite's words (`INTEGER`, `BLOB`, `TEXT`),
//! and bind integers, bytes and texts. What differs is in this file only: how a connection is opened, types in
//! schemas, marks of long lists, and what makes deleted content go away.
//!
//! Invariants:
//! - One writer at a time: a transaction runs on the one connection that may write. On PostgreSQL this connection
//!   holds an advisory lock for as long as it lives, so that a second server cannot write, and neither can one whose
//!   connection broke: it has to get the lock again first.
//! - A commit that returned is durable. A transaction that was not committed leaves nothing.
//! - Each schema change is one transaction together with the number that says it happened.
//!
//! It deliberately knows no rows of anybody's, and has no pool of writers.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cofferdam_model::{ProjectId, SubjectNo};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgRow, PgSslMode};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow,
    SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection as _, PgExecutor, Postgres, Row as _, Sqlite, SqliteExecutor};
use tokio::sync::{Notify, OwnedMutexGuard};

use crate::{Error, Result};

/// Values in one statement; SQLite allows 32,766, PostgreSQL 65,535.
const VALUES_MAX: usize = 2_000;
/// Connections that read.
const READERS: u32 = 4;
/// How long a server waits for another to give up a database: a connection that broke is noticed within this.
const LOCK_WAIT: &str = "5s";

/// Where the vault's two databases live. No `Debug`: an address may hold a password.
#[derive(Clone)]
pub struct Databases {
    pub(crate) vault: Place,
    pub(crate) keys: Place,
}

#[derive(Clone)]
pub(crate) enum Place {
    File(PathBuf),
    /// The schema in which the tables are; the lock is named after it.
    Server(Box<PgConnectOptions>, &'static str),
}

impl Databases {
    /// SQLite files in a folder: `vault.db` and `keys.db`.
    pub fn in_folder(folder: &Path) -> Databases {
        Databases { vault: Place::File(folder.join("vault.db")), keys: Place::File(folder.join("keys.db")) }
    }

    /// Databases of PostgreSQL servers, by their addresses; the same one twice is fine, since each has its own
    /// schema. Keys in another database have backups of their own.
    pub fn on_servers(vault: &str, keys: &str) -> Result<Databases> {
        Ok(Databases {
            vault: Place::Server(address(vault)?, "cofferdam_vault"),
            keys: Place::Server(address(keys)?, "cofferdam_keys"),
        })
    }
}

/// Reads `postgres://…`. This build speaks no TLS, so a server elsewhere has to be asked for in so many words.
fn address(text: &str) -> Result<Box<PgConnectOptions>> {
    if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
        return Err(Error::DatabaseAddress("it does not begin with postgres://"));
    }
    let options =
        PgConnectOptions::from_str(text).map_err(|_| Error::DatabaseAddress("it is no address of PostgreSQL"))?;
    let is_here = options.get_socket().is_some()
        || options.get_host().starts_with('/')
        || matches!(options.get_host(), "localhost" | "127.0.0.1" | "::1" | "[::1]");
    match options.get_ssl_mode() {
        PgSslMode::Disable => {}
        PgSslMode::Require | PgSslMode::VerifyCa | PgSslMode::VerifyFull => {
            return Err(Error::DatabaseAddress(
                "this build speaks no TLS: use a Unix socket, or a tunnel that ends on this machine",
            ));
        }
        _ if is_here => {}
        _ => {
            return Err(Error::DatabaseAddress(
                "the server is on another machine and this build speaks no TLS: use a tunnel that ends on this \
                 machine, or say sslmode=disable when the network between them is private",
            ));
        }
    }
    Ok(Box::new(options.application_name("cofferdam")))
}

/// A value for a mark in a statement.
#[derive(Clone, Copy)]
pub(crate) enum Bind<'a> {
    Int(i64),
    Bytes(&'a [u8]),
    Text(&'a str),
}

impl Bind<'_> {
    fn len(&self) -> usize {
        match self {
            Bind::Int(_) => 8,
            Bind::Bytes(bytes) => bytes.len(),
            Bind::Text(text) => text.len(),
        }
    }
}

impl From<i64> for Bind<'_> {
    fn from(value: i64) -> Self {
        Bind::Int(value)
    }
}

impl From<u32> for Bind<'_> {
    fn from(value: u32) -> Self {
        Bind::Int(i64::from(value))
    }
}

impl From<ProjectId> for Bind<'_> {
    fn from(value: ProjectId) -> Self {
        value.0.into()
    }
}

impl From<SubjectNo> for Bind<'_> {
    fn from(value: SubjectNo) -> Self {
        value.0.into()
    }
}

impl<'a> From<&'a [u8]> for Bind<'a> {
    fn from(value: &'a [u8]) -> Self {
        Bind::Bytes(value)
    }
}

impl<'a> From<&'a Vec<u8>> for Bind<'a> {
    fn from(value: &'a Vec<u8>) -> Self {
        Bind::Bytes(value)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Bind<'a> {
    fn from(value: &'a [u8; N]) -> Self {
        Bind::Bytes(value)
    }
}

impl<'a> From<&'a str> for Bind<'a> {
    fn from(value: &'a str) -> Self {
        Bind::Text(value)
    }
}

/// One row of an answer; columns are asked for by their place.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    pub(crate) fn int(&self, column: usize) -> Result<i64> {
        self.maybe_int(column)?.ok_or(Error::Database(sqlx::Error::RowNotFound))
    }

    /// `None` for NULL, as the highest of nothing is.
    pub(crate) fn maybe_int(&self, column: usize) -> Result<Option<i64>> {
        Ok(match self {
            Row::Sqlite(row) => row.try_get(column)?,
            // Lengths are short integers there.
            Row::Postgres(row) => match row.try_get::<Option<i64>, _>(column) {
                Ok(value) => value,
                Err(_) => row.try_get::<Option<i32>, _>(column)?.map(i64::from),
            },
        })
    }

    /// Numbers of projects, organisations and subjects, as they were bound.
    pub(crate) fn number(&self, column: usize) -> Result<u32> {
        u32::try_from(self.int(column)?).map_err(|_| Error::CannotOpen)
    }

    pub(crate) fn text(&self, column: usize) -> Result<&str> {
        Ok(match self {
            Row::Sqlite(row) => row.try_get(column)?,
            Row::Postgres(row) => row.try_get(column)?,
        })
    }

    pub(crate) fn bytes(&self, column: usize) -> Result<&[u8]> {
        Ok(match self {
            Row::Sqlite(row) => row.try_get(column)?,
            Row::Postgres(row) => row.try_get(column)?,
        })
    }
}

/// One of the vault's databases. Readers go on while somebody writes; writers wait for each other.
#[derive(Clone)]
pub(crate) struct Database {
    inner: Arc<Inner>,
}

struct Inner {
    readers: Readers,
    place: Place,
    log: Arc<LogSize>,
    /// The connection that writes; `None` after it broke or a transaction was given up.
    writer: Arc<tokio::sync::Mutex<Option<Connection>>>,
    /// Where it is a file.
    checkpoints: Option<Checkpoints>,
}

enum Readers {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

enum Connection {
    Sqlite(SqliteConnection, Arc<LogSize>),
    Postgres(PgConnection),
}

impl Database {
    /// Opens a database and takes the right to write it; makes it where it is a file and missing.
    pub(crate) async fn open(place: &Place) -> Result<Database> {
        let log = Arc::new(LogSize::default());
        let writer = Connection::open(place, &log).await?;
        let readers = match place {
            Place::File(path) => {
                let pool = SqlitePoolOptions::new().max_connections(READERS).test_before_acquire(false);
                Readers::Sqlite(pool.connect_with(sqlite_options(path)).await?)
            }
            Place::Server(options, schema) => {
                let pool = PgPoolOptions::new().max_connections(READERS).acquire_timeout(Duration::from_secs(10));
                Readers::Postgres(
                    pool.connect_with(options.as_ref().clone().options([("search_path", *schema)])).await?,
                )
            }
        };
        let checkpoints = match place {
            Place::File(path) => Some(Checkpoints::start(path, &log).await?),
            Place::Server(..) => None,
        };
        let writer = Arc::new(tokio::sync::Mutex::new(Some(writer)));
        Ok(Database { inner: Arc::new(Inner { readers, place: place.clone(), log, writer, checkpoints }) })
    }

    /// The one row of a table, without the right to write: also while a server has it. `None` where there is no such
    /// database, table or row.
    pub(crate) async fn peek(place: &Place, table: &'static str, sql: &'static str) -> Result<Option<Row>> {
        let there = match place {
            Place::File(path) if !path.exists() => return Ok(None),
            Place::File(_) => "SELECT 1 FROM sqlite_master WHERE name = $1",
            Place::Server(..) => "SELECT 1::bigint FROM pg_class WHERE oid = to_regclass($1)",
        };
        let mut connection = match place {
            Place::File(path) => Connection::Sqlite(sqlite_options(path).connect().await?, Arc::default()),
            Place::Server(options, schema) => {
                Connection::Postgres(options.as_ref().clone().options([("search_path", *schema)]).connect().await?)
            }
        };
        let is_there = !connection.rows(there.into(), &[table.into()]).await?.is_empty();
        let row = if is_there { connection.rows(sql.into(), &[]).await?.pop() } else { None };
        connection.close().await?;
        Ok(row)
    }

    /// Closes its connections, and with the writer's gives up the right to write at once.
    pub(crate) async fn close(&self) -> Result<()> {
        if let Some(checkpoints) = &self.inner.checkpoints {
            checkpoints.stop().await;
        }
        match &self.inner.readers {
            Readers::Sqlite(pool) => pool.close().await,
            Readers::Postgres(pool) => pool.close().await,
        }
        match self.inner.writer.lock().await.take() {
            Some(writer) => writer.close().await,
            None => Ok(()),
        }
    }

    /// Whether [`Database::copy_to`] can copy it.
    pub(crate) fn is_file(&self) -> bool {
        matches!(self.inner.place, Place::File(_))
    }

    /// Writes a consistent copy of a file that may be in use; a server's databases are its own to copy.
    pub(crate) async fn copy_to(&self, to: &Path) -> Result<()> {
        match &self.inner.readers {
            Readers::Sqlite(pool) => {
                sqlx::query("VACUUM INTO $1").bind(to.display().to_string()).execute(pool).await?;
                Ok(())
            }
            Readers::Postgres(_) => Err(Error::CopyOfServer),
        }
    }

    /// Brings a component's tables to their newest form. `steps` only ever grows: a database knows by their number
    /// which it went through.
    pub(crate) async fn migrate(&self, component: &'static str, steps: &[&'static str]) -> Result<()> {
        let mut write = self.write().await?;
        write
            .batch(
                "CREATE TABLE IF NOT EXISTS schema_versions (
                    component TEXT PRIMARY KEY,
                    version INTEGER NOT NULL
                ) STRICT;",
            )
            .await?;
        let row = write.row("SELECT version FROM schema_versions WHERE component = $1", &[component.into()]).await?;
        write.commit().await?;
        let version = row.map_or(Ok(0), |row| row.number(0))? as usize;
        if version > steps.len() {
            return Err(Error::NewerSchema { component });
        }
        for (step, version) in steps.iter().zip(1_u32..).skip(version) {
            let mut write = self.write().await?;
            write.batch(step).await?;
            write
                .execute(
                    "INSERT INTO schema_versions (component, version) VALUES ($1, $2)
                     ON CONFLICT (component) DO UPDATE SET version = excluded.version",
                    &[component.into(), version.into()],
                )
                .await?;
            write.commit().await?;
        }
        Ok(())
    }

    /// Inserts rows as a transaction of its own, which costs less than one of several statements.
    pub(crate) async fn insert(
        &self,
        into: &'static str,
        columns: usize,
        values: &[Bind<'_>],
        conflict: &'static str,
    ) -> Result<()> {
        if values.len() <= VALUES_MAX / columns * columns {
            let connection = self.inner.writer.clone().lock_owned().await;
            if connection.is_some() {
                // Its own transaction: given up or failed, it takes its connection along like one that was begun.
                let mut write = Write { connection, is_committed: false };
                write.insert(into, columns, values, conflict).await?;
                write.is_committed = true;
                return Ok(());
            }
        }
        let mut write = self.write().await?;
        write.insert(into, columns, values, conflict).await?;
        write.commit().await
    }

    /// Begins a transaction that may write; waits for the one before.
    pub(crate) async fn write(&self) -> Result<Write> {
        let mut connection = self.inner.writer.clone().lock_owned().await;
        for is_last in [false, true] {
            let open = match connection.as_mut() {
                Some(open) => open,
                None => connection.insert(Connection::open(&self.inner.place, &self.inner.log).await?),
            };
            match open.raw(open.begin()).await {
                Ok(()) => break,
                // A connection may have broken while nothing was written. A new one has the lock, or fails.
                Err(error) => {
                    *connection = None;
                    if is_last {
                        return Err(error);
                    }
                }
            }
        }
        Ok(Write { connection, is_committed: false })
    }

    pub(crate) async fn rows(&self, sql: &'static str, binds: &[Bind<'_>]) -> Result<Vec<Row>> {
        self.read(sql.into(), binds).await
    }

    pub(crate) async fn row(&self, sql: &'static str, binds: &[Bind<'_>]) -> Result<Option<Row>> {
        Ok(self.rows(sql, binds).await?.pop())
    }

    /// The rows of a statement that ends with `IN`, for a list of any length: `fixed` are for its
    /// marks before, which stand in order and once each.
    pub(crate) async fn rows_in(
        &self,
        sql: &'static str,
        fixed: &[Bind<'_>],
        list: impl Iterator<Item = Bind<'_>>,
    ) -> Result<Vec<Row>> {
        let list: Vec<Bind<'_>> = list.collect();
        let mut rows = Vec::with_capacity(list.len());
        for chunk in list.chunks(VALUES_MAX) {
            let sql = match self.inner.readers {
                Readers::Sqlite(_) => listed::<Sqlite>(sql, fixed.len(), chunk.len()),
                Readers::Postgres(_) => listed::<Postgres>(sql, fixed.len(), chunk.len()),
            };
            rows.append(&mut self.read(sql.into(), &[fixed, chunk].concat()).await?);
        }
        Ok(rows)
    }

    async fn read(&self, sql: Cow<'static, str>, binds: &[Bind<'_>]) -> Result<Vec<Row>> {
        match &self.inner.readers {
            Readers::Sqlite(pool) => sqlite_rows(pool, sql, binds).await,
            Readers::Postgres(pool) => postgres_rows(pool, sql, binds).await,
        }
    }

    /// Makes what was deleted from a table go away from where it was, after the commit. SQLite overwrites deleted
    /// content at once and only its log is cut here. PostgreSQL keeps dead rows until they are vacuumed, which is
    /// done here, and its own log and its backups hold them until they are recycled: that is its owner's to bound.
    pub(crate) async fn scrub(&self, table: &'static str) -> Result<()> {
        match &self.inner.readers {
            // A busy reader only delays this to the next time.
            Readers::Sqlite(pool) => {
                let _moving = self.inner.log.moving.lock().await;
                sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(pool).await?;
            }
            Readers::Postgres(pool) => {
                sqlx::raw_sql(AssertSqlSafe(format!("VACUUM {table}"))).execute(pool).await?;
            }
        }
        Ok(())
    }
}

/// A transaction, and the right to write. Dropped without a commit it leaves nothing: its connection is closed.
pub(crate) struct Write {
    connection: OwnedMutexGuard<Option<Connection>>,
    is_committed: bool,
}

impl Drop for Write {
    fn drop(&mut self) {
        if !self.is_committed {
            *self.connection = None;
        }
    }
}

impl Write {
    fn connection(&mut self) -> &mut Connection {
        self.connection.as_mut().expect("a transaction has a connection until it is dropped")
    }

    pub(crate) async fn rows(&mut self, sql: &'static str, binds: &[Bind<'_>]) -> Result<Vec<Row>> {
        self.connection().rows(sql.into(), binds).await
    }

    pub(crate) async fn row(&mut self, sql: &'static str, binds: &[Bind<'_>]) -> Result<Option<Row>> {
        Ok(self.rows(sql, binds).await?.pop())
    }

    /// Answers how many rows were changed.
    pub(crate) async fn execute(&mut self, sql: &'static str, binds: &[Bind<'_>]) -> Result<u64> {
        self.connection().execute(sql.into(), binds).await
    }

    /// Runs a statement that ends with `IN`, as [`Database::rows_in`] does.
    pub(crate) async fn execute_in(
        &mut self,
        sql: &'static str,
        fixed: &[Bind<'_>],
        list: impl Iterator<Item = Bind<'_>>,
    ) -> Result<()> {
        let list: Vec<Bind<'_>> = list.collect();
        for chunk in list.chunks(VALUES_MAX) {
            let connection = self.connection();
            let sql = match connection {
                Connection::Sqlite(..) => listed::<Sqlite>(sql, fixed.len(), chunk.len()),
                Connection::Postgres(_) => listed::<Postgres>(sql, fixed.len(), chunk.len()),
            };
            connection.execute(sql.into(), &[fixed, chunk].concat()).await?;
        }
        Ok(())
    }

    /// Inserts many rows of `columns` values each. `into` ends before `VALUES`, `conflict` follows the rows.
    pub(crate) async fn insert(
        &mut self,
        into: &'static str,
        columns: usize,
        values: &[Bind<'_>],
        conflict: &'static str,
    ) -> Result<()> {
        self.connection().insert(into, columns, values, conflict).await
    }

    /// Runs statements without marks; types are translated.
    async fn batch(&mut self, sql: &'static str) -> Result<()> {
        match self.connection() {
            Connection::Sqlite(..) => self.connection().raw(sql).await,
            Connection::Postgres(connection) => {
                sqlx::raw_sql(AssertSqlSafe(in_words_of_postgres(sql))).execute(connection).await?;
                Ok(())
            }
        }
    }

    pub(crate) async fn commit(mut self) -> Result<()> {
        self.connection().raw("COMMIT").await?;
        self.is_committed = true;
        Ok(())
    }
}

impl Connection {
    async fn open(place: &Place, log: &Arc<LogSize>) -> Result<Connection> {
        match place {
            Place::File(path) => {
                // A checkpoint inside a commit would hold up everybody who waits for it.
                let options = sqlite_options(path).pragma("wal_autocheckpoint", "0");
                Ok(Connection::Sqlite(options.connect().await?, log.clone()))
            }
            Place::Server(options, schema) => {
                let mut connection = options.as_ref().clone().options([("search_path", *schema)]).connect().await?;
                // Named by the schema: a server's two databases may be one.
                let lock = format!(
                    "SET lock_timeout = '{LOCK_WAIT}'; SET synchronous_commit = on;
                     SELECT pg_advisory_lock(hashtext('{schema}'));
                     SET lock_timeout = 0; SET client_min_messages = warning;
                     CREATE SCHEMA IF NOT EXISTS {schema};"
                );
                let locked = sqlx::raw_sql(AssertSqlSafe(lock)).execute(&mut connection).await;
                match locked {
                    Ok(_) => Ok(Connection::Postgres(connection)),
                    // lock_not_available
                    Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("55P03") => {
                        Err(Error::DatabaseInUse)
                    }
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    async fn close(self) -> Result<()> {
        match self {
            Connection::Sqlite(connection, _) => connection.close().await?,
            Connection::Postgres(connection) => connection.close().await?,
        }
        Ok(())
    }

    /// How a transaction begins that is going to write.
    fn begin(&self) -> &'static str {
        match self {
            Connection::Sqlite(..) => "BEGIN IMMEDIATE",
            Connection::Postgres(_) => "BEGIN",
        }
    }

    async fn raw(&mut self, sql: &'static str) -> Result<()> {
        match self {
            Connection::Sqlite(connection, _) => sqlx::raw_sql(sql).execute(connection).await.map(drop)?,
            Connection::Postgres(connection) => sqlx::raw_sql(sql).execute(connection).await.map(drop)?,
        }
        Ok(())
    }

    async fn rows(&mut self, sql: Cow<'static, str>, binds: &[Bind<'_>]) -> Result<Vec<Row>> {
        match self {
            Connection::Sqlite(connection, _) => sqlite_rows(connection, sql, binds).await,
            Connection::Postgres(connection) => postgres_rows(connection, sql, binds).await,
        }
    }

    async fn insert(
        &mut self,
        into: &'static str,
        columns: usize,
        values: &[Bind<'_>],
        conflict: &'static str,
    ) -> Result<()> {
        for chunk in values.chunks(VALUES_MAX / columns * columns) {
            let mut sql = String::with_capacity(into.len() + conflict.len() + chunk.len() * 6);
            sql.push_str(into);
            sql.push_str(" VALUES ");
            for row in 0..chunk.len() / columns {
                sql.push_str(if row == 0 { "(" } else { ", (" });
                match self {
                    Connection::Sqlite(..) => marks::<Sqlite>(&mut sql, row * columns, columns),
                    Connection::Postgres(_) => marks::<Postgres>(&mut sql, row * columns, columns),
                }
                sql.push(')');
            }
            sql.push(' ');
            sql.push_str(conflict);
            self.execute(sql.into(), chunk).await?;
        }
        Ok(())
    }

    async fn execute(&mut self, sql: Cow<'static, str>, binds: &[Bind<'_>]) -> Result<u64> {
        Ok(match self {
            Connection::Sqlite(connection, log) => {
                log.grow(binds);
                sqlite_query(sql, binds).execute(connection).await?.rows_affected()
            }
            Connection::Postgres(connection) => postgres_query(sql, binds).execute(connection).await?.rows_affected(),
        })
    }
}

/// Durable commits, deleted content overwritten.
fn sqlite_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .pragma("secure_delete", "on")
}

/// About how much SQLite's log grew since it was last moved into its file.
#[derive(Default)]
struct LogSize {
    bytes: AtomicU64,
    is_large: Notify,
    /// One at a time: SQLite refuses a second at once, however long that would wait.
    moving: tokio::sync::Mutex<()>,
}

impl LogSize {
    /// A statement with these values is about to run: they, and a few pages of tables and indexes around them.
    fn grow(&self, binds: &[Bind<'_>]) {
        let values: usize = binds.iter().map(|bind| bind.len()).sum();
        let grown = (values + 2 * SQLITE_PAGE_BYTES) as u64;
        if self.bytes.fetch_add(grown, Ordering::Relaxed) + grown >= LOG_BYTES {
            self.is_large.notify_one();
        }
    }
}

const SQLITE_PAGE_BYTES: usize = 4_096;
/// SQLite's own default is a thousand pages.
const LOG_BYTES: u64 = 1_000 * SQLITE_PAGE_BYTES as u64;

/// Moves SQLite's log into its file on a connection of its own, so that commits go on meanwhile.
struct Checkpoints {
    task: tokio::sync::Mutex<Option<tokio::task::JoinHandle<()>>>,
    stopped: Arc<Notify>,
}

impl Checkpoints {
    async fn start(path: &Path, log: &Arc<LogSize>) -> Result<Checkpoints> {
        // A reader that stays in the log only delays its next beginning.
        let options = sqlite_options(path).busy_timeout(Duration::from_millis(20));
        let mut connection = options.connect().await?;
        let (log, stopped) = (log.clone(), Arc::new(Notify::new()));
        let stop = stopped.clone();
        let task = tokio::spawn(async move {
            loop {
                tokio::select! {
                    () = log.is_large.notified() => {}
                    () = stop.notified() => break,
                }
                let _moving = log.moving.lock().await;
                log.bytes.store(0, Ordering::Relaxed);
                // Nearly all of it while commits go on; then the few pages since, and the log begins anew.
                for sql in ["PRAGMA wal_checkpoint(PASSIVE)", "PRAGMA wal_checkpoint(RESTART)"] {
                    if let Err(error) = sqlx::raw_sql(sql).execute(&mut connection).await {
                        tracing::warn!(error = &error as &dyn std::error::Error, "a database's log could not be moved");
                    }
                }
            }
            let _ = connection.close().await;
        });
        Ok(Checkpoints { task: tokio::sync::Mutex::new(Some(task)), stopped })
    }

    async fn stop(&self) {
        self.stopped.notify_one();
        if let Some(task) = self.task.lock().await.take() {
            let _ = task.await;
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.stopped.notify_one();
    }
}

type Query<'q, D> = sqlx::query::Query<'q, D, <D as sqlx::Database>::Arguments>;

fn sqlite_query<'q>(sql: Cow<'static, str>, binds: &[Bind<'_>]) -> Query<'q, Sqlite> {
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for bind in binds {
        query = match *bind {
            Bind::Int(value) => query.bind(value),
            Bind::Bytes(value) => query.bind(value),
            Bind::Text(value) => query.bind(value),
        };
    }
    query
}

fn postgres_query<'q>(sql: Cow<'static, str>, binds: &[Bind<'_>]) -> Query<'q, Postgres> {
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for bind in binds {
        query = match *bind {
            Bind::Int(value) => query.bind(value),
            Bind::Bytes(value) => query.bind(value),
            Bind::Text(value) => query.bind(value),
        };
    }
    query
}

async fn sqlite_rows(on: impl SqliteExecutor<'_>, sql: Cow<'static, str>, binds: &[Bind<'_>]) -> Result<Vec<Row>> {
    Ok(sqlite_query(sql, binds).fetch_all(on).await?.into_iter().map(Row::Sqlite).collect())
}

async fn postgres_rows(on: impl PgExecutor<'_>, sql: Cow<'static, str>, binds: &[Bind<'_>]) -> Result<Vec<Row>> {
    Ok(postgres_query(sql, binds).fetch_all(on).await?.into_iter().map(Row::Postgres).collect())
}

/// How a database writes marks in long lists. SQLite looks numbered ones up by their text, each among all, so there
/// they have no numbers; PostgreSQL knows no others.
trait Marks {
    fn mark(sql: &mut String, number: usize);

    /// A statement before its list, with its own marks in this way.
    fn head(sql: &str) -> Cow<'_, str>;
}

impl Marks for Sqlite {
    fn mark(sql: &mut String, _number: usize) {
        sql.push('?');
    }

    /// Marks without numbers are counted by themselves, so that none may have one.
    fn head(sql: &str) -> Cow<'_, str> {
        let mut parts = sql.split('$');
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            out.push('?');
            out.push_str(part.trim_start_matches(|digit: char| digit.is_ascii_digit()));
        }
        Cow::Owned(out)
    }
}

impl Marks for Postgres {
    fn mark(sql: &mut String, number: usize) {
        use std::fmt::Write as _;
        let _ = write!(sql, "${number}");
    }

    fn head(sql: &str) -> Cow<'_, str> {
        Cow::Borrowed(sql)
    }
}

/// Marks for `count` values after the first `before`.
fn marks<M: Marks>(sql: &mut String, before: usize, count: usize) {
    for at in 0..count {
        if at > 0 {
            sql.push_str(", ");
        }
        M::mark(sql, before + at + 1);
    }
}

fn listed<M: Marks>(sql: &str, before: usize, count: usize) -> String {
    let mut out = String::with_capacity(sql.len() + count * 3 + 4);
    out.push_str(&M::head(sql));
    out.push_str(" (");
    marks::<M>(&mut out, before, count);
    out.push(')');
    out
}

/// A schema in PostgreSQL's words. Numbers of subjects do not fit its shorter integers, which have a sign.
fn in_words_of_postgres(sql: &str) -> String {
    sql.replace("STRICT, WITHOUT ROWID", "")
        .replace("STRICT", "")
        .replace("INTEGER", "BIGINT")
        .replace(" BLOB", " BYTEA")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Home, on_each, on_postgres};

    on_each!(
        a_transaction_that_was_not_committed_leaves_nothing,
        lists_longer_than_a_statement_are_read_and_written_whole,
        a_newer_schema_is_refused,
    );

    #[tokio::test]
    async fn the_log_is_moved_into_its_file_while_commits_go_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault.db");
        let database = Database::open(&Place::File(path.clone())).await.unwrap();
        database.migrate("numbers", &[NUMBERS]).await.unwrap();
        let bytes = vec![7; 100_000];
        let log = path.with_extension("db-wal");
        let mut numbers = 0..;
        let mut lengths = Vec::new();
        for _ in 0..3 {
            // As much as starts a move; then until it is done.
            for number in numbers.by_ref().take(40) {
                let values = [Bind::Int(number), Bind::Bytes(&bytes)];
                database.insert("INSERT INTO numbers (number, bytes)", 2, &values, "").await.unwrap();
            }
            while database.inner.log.bytes.load(Ordering::Relaxed) >= LOG_BYTES {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            drop(database.inner.log.moving.lock().await);
            lengths.push(log.metadata().unwrap().len());
        }
        assert!(lengths[2] < lengths[0] + LOG_BYTES / 2, "the log begins anew: {lengths:?}");
        // What is scrubbed leaves the log also while it is being moved.
        database.inner.log.is_large.notify_one();
        database.scrub("numbers").await.unwrap();
        assert_eq!(log.metadata().unwrap().len(), 0);
        assert_eq!(count(&database).await, 120);
        database.close().await.unwrap();
        assert!(!log.exists(), "whoever closes last takes the log along");
    }

    const NUMBERS: &str = "CREATE TABLE numbers (number INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;";

    async fn count(database: &Database) -> i64 {
        database.row("SELECT count(*) FROM numbers", &[]).await.unwrap().unwrap().int(0).unwrap()
    }

    async fn a_transaction_that_was_not_committed_leaves_nothing(home: Home) {
        let database = Database::open(&home.site.databases.vault).await.unwrap();
        database.migrate("numbers", &[NUMBERS]).await.unwrap();
        let insert = "INSERT INTO numbers (number, bytes) VALUES ($1, $2)";
        let mut write = database.write().await.unwrap();
        write.execute(insert, &[7_i64.into(), b"x".into()]).await.unwrap();
        drop(write);
        assert_eq!(count(&database).await, 0);
        let mut write = database.write().await.unwrap();
        write.execute(insert, &[7_i64.into(), b"x".into()]).await.unwrap();
        // One that fails takes what was before it along, and the next one is not in its way.
        assert!(write.execute(insert, &[7_i64.into(), b"x".into()]).await.is_err());
        drop(write);
        assert_eq!(count(&database).await, 0);
        let mut write = database.write().await.unwrap();
        write.execute(insert, &[7_i64.into(), b"x".into()]).await.unwrap();
        write.commit().await.unwrap();
        assert_eq!(count(&database).await, 1);
    }

    async fn lists_longer_than_a_statement_are_read_and_written_whole(home: Home) {
        let database = Database::open(&home.site.databases.vault).await.unwrap();
        database.migrate("numbers", &[NUMBERS]).await.unwrap();
        let bytes: Vec<[u8; 4]> = (0..VALUES_MAX as u32 * 2 + 1).map(u32::to_le_bytes).collect();
        let values: Vec<Bind<'_>> =
            (0_u32..).zip(&bytes).flat_map(|(number, bytes)| [number.into(), bytes.into()]).collect();
        let mut write = database.write().await.unwrap();
        write.insert("INSERT INTO numbers (number, bytes)", 2, &values, "ON CONFLICT DO NOTHING").await.unwrap();
        write.insert("INSERT INTO numbers (number, bytes)", 2, &values, "ON CONFLICT DO NOTHING").await.unwrap();
        let sql = "SELECT number, bytes FROM numbers WHERE number > $1 AND bytes IN";
        write.commit().await.unwrap();
        let found = database.rows_in(sql, &[9_i64.into()], bytes.iter().map(Bind::from)).await.unwrap();
        assert!(found.iter().all(|row| row.bytes(1).unwrap() == row.number(0).unwrap().to_le_bytes()));
        assert_eq!(found.len(), bytes.len() - 10);
    }

    async fn a_newer_schema_is_refused(home: Home) {
        let database = Database::open(&home.site.databases.vault).await.unwrap();
        let add = "INSERT INTO numbers (number, bytes) VALUES (1, '');";
        let add = if matches!(home.site.databases.vault, Place::File(_)) {
            "INSERT INTO numbers VALUES (1, x'');"
        } else {
            add
        };
        database.migrate("numbers", &[NUMBERS, add]).await.unwrap();
        // Not run again.
        database.migrate("numbers", &[NUMBERS, add]).await.unwrap();
        assert_eq!(count(&database).await, 1);
        let refused = database.migrate("numbers", &[NUMBERS]).await;
        assert!(matches!(refused, Err(Error::NewerSchema { component: "numbers" })));
    }

    #[tokio::test]
    async fn a_second_server_cannot_write_a_database_in_use() {
        let Some(home) = on_postgres() else { return };
        let first = Database::open(&home.site.databases.vault).await.unwrap();
        assert!(matches!(Database::open(&home.site.databases.vault).await, Err(Error::DatabaseInUse)));
        // The keys beside it are another database, though the same server's.
        Database::open(&home.site.databases.keys).await.unwrap();
        // A writer that lost its connection to another server's does not get to write.
        first
            .row("SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory'", &[])
            .await
            .unwrap();
        let second = Database::open(&home.site.databases.vault).await.unwrap();
        assert!(matches!(first.write().await, Err(Error::DatabaseInUse)));
        drop(second);
        first.write().await.unwrap();
    }

    #[test]
    fn an_address_that_would_send_secrets_in_clear_has_to_say_so() {
        let refused = |text| matches!(Databases::on_servers(text, text), Err(Error::DatabaseAddress(_)));
        for text in [
            "postgres://db.example.org/x",
            "postgres://localhost/x?sslmode=require",
            "postgres://db.example.org/x?sslmode=verify-full",
            "mysql://localhost/x",
            "vault.db",
        ] {
            assert!(refused(text), "{text}");
        }
        for text in [
            "postgres://localhost/x",
            "postgresql://user:word@127.0.0.1:5433/x",
            "postgres:///x?host=/run/postgresql",
            "postgres://db.example.org/x?sslmode=disable",
        ] {
            assert!(!refused(text), "{text}");
        }
    }
}

//! Members, sessions and projects: rows in one SQLite database. No personal value is in clear: a member's name and
//! address are sealed, found by a keyed fingerprint.

use std::path::Path;
use std::str::FromStr;

use cofferdam_model::{OrgId, ProjectId};
use cofferdam_vault::wire::IdentityMode;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{Result, Row};

const SCHEMA: &str = "
CREATE TABLE IF NOT EXISTS organisations (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS members (
    id INTEGER PRIMARY KEY,
    org INTEGER NOT NULL REFERENCES organisations (id),
    email_print BLOB NOT NULL UNIQUE,
    sealed BLOB NOT NULL,
    password_hash TEXT NOT NULL,
    totp_sealed BLOB NOT NULL,
    totp_step INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS sessions (
    print BLOB PRIMARY KEY,
    member INTEGER NOT NULL REFERENCES members (id),
    created_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS projects (
    id INTEGER PRIMARY KEY,
    org INTEGER NOT NULL REFERENCES organisations (id),
    name TEXT NOT NULL,
    time_zone TEXT NOT NULL,
    token TEXT NOT NULL UNIQUE,
    identity_mode TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS project_numbers (
    id INTEGER PRIMARY KEY AUTOINCREMENT
) STRICT;
CREATE TABLE IF NOT EXISTS cohorts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    project INTEGER NOT NULL REFERENCES projects (id),
    name TEXT NOT NULL,
    rule TEXT NOT NULL,
    members BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS cohorts_by_project ON cohorts (project);
";

/// A project as the console shows it.
#[derive(Clone, Debug)]
pub struct ProjectRecord {
    pub id: ProjectId,
    pub org: OrgId,
    pub name: String,
    pub time_zone: String,
    /// Public: it can only send events.
    pub token: String,
    pub mode: IdentityMode,
    /// Microseconds since 1970-01-01 UTC.
    pub created_us: i64,
}

/// A member's row; what is personal is sealed.
pub(crate) struct MemberRow {
    pub(crate) id: u32,
    pub(crate) org: OrgId,
    pub(crate) sealed: Vec<u8>,
    pub(crate) password_hash: String,
    pub(crate) totp_sealed: Vec<u8>,
}

pub(crate) struct SessionRow {
    pub(crate) member: u32,
    pub(crate) created_us: i64,
    pub(crate) seen_us: i64,
}

/// A cohort's row.
pub(crate) struct CohortRow {
    pub(crate) id: u32,
    pub(crate) name: String,
    /// JSON.
    pub(crate) rule: String,
    /// Subject numbers of a static cohort, four bytes each, little endian.
    pub(crate) members: Vec<u8>,
    pub(crate) created_us: i64,
}

pub(crate) struct Meta {
    pool: SqlitePool,
}

impl Meta {
    pub(crate) async fn open(path: &Path) -> Result<Meta> {
        let options = SqliteConnectOptions::from_str(&format!("sqlite://{}", path.display()))?
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .pragma("secure_delete", "on");
        let pool = SqlitePoolOptions::new().max_connections(4).connect_with(options).await?;
        sqlx::raw_sql(SCHEMA).execute(&pool).await?;
        Ok(Meta { pool })
    }

    /// Writes a consistent copy into a new file (SQLite).
    pub(crate) async fn copy_to(&self, path: &Path) -> Result<()> {
        sqlx::query("VACUUM INTO $1").bind(path.display().to_string()).execute(&self.pool).await?;
        Ok(())
    }

    /// Ends every session.
    pub(crate) async fn delete_sessions(&self) -> Result<()> {
        sqlx::query("DELETE FROM sessions").execute(&self.pool).await?;
        Ok(())
    }

    pub(crate) async fn has_members(&self) -> Result<bool> {
        Ok(sqlx::query("SELECT 1 FROM members LIMIT 1").fetch_optional(&self.pool).await?.is_some())
    }

    pub(crate) async fn organisation_name(&self, org: OrgId) -> Result<String> {
        sqlx::query("SELECT name FROM organisations WHERE id = $1")
            .bind(i64::from(org.0))
            .fetch_one(&self.pool)
            .await?
            .try_get(0)
    }

    /// The first organisation and its first member, both or none; none when somebody was faster.
    pub(crate) async fn insert_first(
        &self,
        organisation: &str,
        email_print: &[u8],
        sealed: &[u8],
        password_hash: &str,
        totp: (&[u8], i64),
        now_us: i64,
    ) -> Result<bool> {
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        if sqlx::query("SELECT 1 FROM members LIMIT 1").fetch_optional(&mut *transaction).await?.is_some() {
            return Ok(false);
        }
        // An earlier set-up that was interrupted leaves nothing that this would collide with.
        sqlx::query("INSERT INTO organisations (id, name, created_at) VALUES (1, $1, $2)")
            .bind(organisation)
            .bind(now_us)
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "INSERT INTO members (id, org, email_print, sealed, password_hash, totp_sealed, totp_step, created_at)
             VALUES (1, 1, $1, $2, $3, $4, $5, $6)",
        )
        .bind(email_print)
        .bind(sealed)
        .bind(password_hash)
        .bind(totp.0)
        .bind(totp.1)
        .bind(now_us)
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await?;
        Ok(true)
    }

    pub(crate) async fn member_by_print(&self, email_print: &[u8]) -> Result<Option<MemberRow>> {
        let sql = "SELECT id, org, sealed, password_hash, totp_sealed FROM members WHERE email_print = $1";
        sqlx::query(sql).bind(email_print).fetch_optional(&self.pool).await?.map(|row| member(&row)).transpose()
    }

    pub(crate) async fn member(&self, id: u32) -> Result<Option<MemberRow>> {
        let sql = "SELECT id, org, sealed, password_hash, totp_sealed FROM members WHERE id = $1";
        sqlx::query(sql).bind(i64::from(id)).fetch_optional(&self.pool).await?.map(|row| member(&row)).transpose()
    }

    /// The numbers of an organisation's members, oldest first.
    pub(crate) async fn member_numbers(&self, org: OrgId) -> Result<Vec<u32>> {
        let rows = sqlx::query("SELECT id FROM members WHERE org = $1 ORDER BY id")
            .bind(i64::from(org.0))
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|row| Ok(row.try_get::<i64, _>(0)? as u32)).collect()
    }

    /// Uses up a TOTP step. False when it, or a later one, was used before.
    pub(crate) async fn use_totp_step(&self, member: u32, step: i64) -> Result<bool> {
        let done = sqlx::query("UPDATE members SET totp_step = $1 WHERE id = $2 AND totp_step < $1")
            .bind(step)
            .bind(i64::from(member))
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() == 1)
    }

    pub(crate) async fn insert_session(&self, print: &[u8], member: u32, now_us: i64) -> Result<()> {
        sqlx::query("INSERT INTO sessions (print, member, created_at, seen_at) VALUES ($1, $2, $3, $3)")
            .bind(print)
            .bind(i64::from(member))
            .bind(now_us)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    pub(crate) async fn session(&self, print: &[u8]) -> Result<Option<SessionRow>> {
        let row = sqlx::query("SELECT member, created_at, seen_at FROM sessions WHERE print = $1")
            .bind(print)
            .fetch_optional(&self.pool)
            .await?;
        row.map(|row| {
            Ok(SessionRow {
                member: row.try_get::<i64, _>(0)? as u32,
                created_us: row.try_get(1)?,
                seen_us: row.try_get(2)?,
            })
        })
        .transpose()
    }

    pub(crate) async fn touch_session(&self, print: &[u8], now_us: i64) -> Result<()> {
        sqlx::query("UPDATE sessions SET seen_at = $1 WHERE print = $2")
            .bind(now_us)
            .bind(print)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    pub(crate) async fn delete_session(&self, print: &[u8]) -> Result<()> {
        sqlx::query("DELETE FROM sessions WHERE print = $1").bind(print).execute(&self.pool).await?;
        Ok(())
    }

    /// A number for a project that no project had before.
    pub(crate) async fn next_project(&self) -> Result<ProjectId> {
        let done = sqlx::query("INSERT INTO project_numbers DEFAULT VALUES").execute(&self.pool).await?;
        Ok(ProjectId(done.last_insert_rowid() as u32))
    }

    #[expect(clippy::too_many_arguments, reason = "one per column")]
    pub(crate) async fn insert_project(
        &self,
        id: ProjectId,
        org: OrgId,
        name: &str,
        time_zone: &str,
        token: &str,
        mode: IdentityMode,
        created_us: i64,
    ) -> Result<ProjectRecord> {
        sqlx::query(
            "INSERT INTO projects (id, org, name, time_zone, token, identity_mode, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(i64::from(id.0))
        .bind(i64::from(org.0))
        .bind(name)
        .bind(time_zone)
        .bind(token)
        .bind(mode_word(mode))
        .bind(created_us)
        .execute(&self.pool)
        .await?;
        Ok(ProjectRecord {
            id,
            org,
            name: name.to_owned(),
            time_zone: time_zone.to_owned(),
            token: token.to_owned(),
            mode,
            created_us,
        })
    }

    /// The cohorts of a project, oldest first.
    pub(crate) async fn cohorts(&self, project: ProjectId) -> Result<Vec<CohortRow>> {
        sqlx::query("SELECT id, name, rule, members, created_at FROM cohorts WHERE project = $1 ORDER BY id")
            .bind(i64::from(project.0))
            .fetch_all(&self.pool)
            .await?
            .iter()
            .map(|row| {
                Ok(CohortRow {
                    id: row.try_get::<i64, _>(0)? as u32,
                    name: row.try_get(1)?,
                    rule: row.try_get(2)?,
                    members: row.try_get(3)?,
                    created_us: row.try_get(4)?,
                })
            })
            .collect()
    }

    /// Answers the new cohort's number, which no other cohort ever had.
    pub(crate) async fn insert_cohort(
        &self,
        project: ProjectId,
        name: &str,
        rule: &str,
        members: &[u8],
        created_us: i64,
    ) -> Result<u32> {
        let done =
            sqlx::query("INSERT INTO cohorts (project, name, rule, members, created_at) VALUES ($1, $2, $3, $4, $5)")
                .bind(i64::from(project.0))
                .bind(name)
                .bind(rule)
                .bind(members)
                .bind(created_us)
                .execute(&self.pool)
                .await?;
        Ok(done.last_insert_rowid() as u32)
    }

    pub(crate) async fn set_cohort_members(&self, id: u32, members: &[u8]) -> Result<()> {
        sqlx::query("UPDATE cohorts SET members = $1 WHERE id = $2")
            .bind(members)
            .bind(i64::from(id))
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Answers whether there was such a cohort.
    pub(crate) async fn delete_cohort(&self, project: ProjectId, id: u32) -> Result<bool> {
        let done = sqlx::query("DELETE FROM cohorts WHERE project = $1 AND id = $2")
            .bind(i64::from(project.0))
            .bind(i64::from(id))
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// The projects of one organisation, or of all, oldest first.
    pub(crate) async fn projects(&self, org: Option<OrgId>) -> Result<Vec<ProjectRecord>> {
        let rows = sqlx::query(
            "SELECT id, org, name, time_zone, token, identity_mode, created_at FROM projects
             WHERE $1 IS NULL OR org = $1 ORDER BY id",
        )
        .bind(org.map(|org| i64::from(org.0)))
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                Ok(ProjectRecord {
                    id: ProjectId(row.try_get::<i64, _>(0)? as u32),
                    org: OrgId(row.try_get::<i64, _>(1)? as u32),
                    name: row.try_get(2)?,
                    time_zone: row.try_get(3)?,
                    token: row.try_get(4)?,
                    mode: if row.try_get::<&str, _>(5)? == mode_word(IdentityMode::Original) {
                        IdentityMode::Original
                    } else {
                        IdentityMode::Simplified
                    },
                    created_us: row.try_get(6)?,
                })
            })
            .collect()
    }
}

fn mode_word(mode: IdentityMode) -> &'static str {
    match mode {
        IdentityMode::Simplified => "simplified",
        IdentityMode::Original => "original",
    }
}

fn member(row: &SqliteRow) -> Result<MemberRow> {
    Ok(MemberRow {
        id: row.try_get::<i64, _>(0)? as u32,
        org: OrgId(row.try_get::<i64, _>(1)? as u32),
        sealed: row.try_get(2)?,
        password_hash: row.try_get(3)?,
        totp_sealed: row.try_get(4)?,
    })
}
